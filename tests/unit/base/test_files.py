"""Files are whole or not there; lines survive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from argus_tasks.base.files import (
    FileTail,
    append_line,
    ends_torn,
    open_to_append,
    read_end,
    read_json,
    read_json_lines,
    read_whole,
    write_json,
    write_output,
)


def test_a_killed_writer_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    code = (
        "import sys, itertools\n"
        "from argus_tasks.base.files import write_json\n"
        "for n in itertools.count():\n"
        "    write_json(sys.argv[1], {'n': n, 'pad': 'x' * 20000})\n"
    )
    for wait_s in (0.05, 0.1, 0.15):
        writer = subprocess.Popen([sys.executable, "-c", code, str(target)])
        while not target.exists():
            time.sleep(0.005)
        time.sleep(wait_s)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        assert len(read_json(target)["pad"]) == 20_000


def test_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": float("nan")})
    assert read_json(target) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "none" / "state.json", tmp_path / "folder"):
        with pytest.raises(OSError, match=r"No such file|Is a directory") as raised:
            write_json(target, {})
        assert raised.value.filename == str(target)
        assert raised.value.filename2 is None
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_torn_last_line_costs_that_line(tmp_path: Path) -> None:
    target = tmp_path / "lines.jsonl"
    append_line(target, '{"a":1}')
    with target.open("a") as handle:
        handle.write('{"a":')
    assert list(read_json_lines(target)) == [{"a": 1}]
    assert list(read_json_lines(tmp_path / "none")) == []


def test_a_file_is_read_whole_whatever_its_size(tmp_path: Path) -> None:
    file = tmp_path / "data"
    for size in (0, 1, 65535, 65536, 65537, 300_000):
        file.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
        assert read_whole(file) == file.read_bytes()


def test_a_tail_reads_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    tail = FileTail(str(path))
    assert tail.lines() == []
    path.write_bytes(b"one\ntwo\nhal")
    assert tail.lines() == [b"one", b"two"]
    assert tail.lines() == []
    with path.open("ab") as handle:
        handle.write(b"f\n")
    assert tail.lines() == [b"half"]
    assert read_end(path, 7) == "o\nhalf\n"
    assert read_end(path, 1000) == "one\ntwo\nhalf\n"


def test_a_torn_last_line_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    descriptor = open_to_append(path)
    assert not ends_torn(descriptor)
    os.write(descriptor, b"one\ntw")
    assert ends_torn(descriptor)
    os.write(descriptor, b"o\n")
    assert not ends_torn(descriptor)
    os.close(descriptor)


def test_output_goes_into_a_pipe_and_does_not_replace_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_bytes)
        write_output(pipe, "text")
        assert read.result(10) == b"text"
    assert pipe.is_fifo()
    write_output(tmp_path / "file", b"bytes")
    assert (tmp_path / "file").read_bytes() == b"bytes"
