"""A lock is held by one process, through one object, until that process is gone."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from argus_tasks.base.locks import ProcessLock, holder_lives, locked

HOLD = """
import sys
from argus_tasks.base.locks import ProcessLock
assert ProcessLock(sys.argv[1]).take()
print("held", flush=True)
sys.stdin.readline()
"""

FORK = """
import os, sys
from argus_tasks.base.locks import ProcessLock
lock = ProcessLock(sys.argv[1])
assert lock.take() and lock.held
freed, free = os.pipe()
child = os.fork()
if child == 0:
    said = [lock.held, ProcessLock(sys.argv[1]).take()]
    lock.give_back(remove=True)  # it is not the child's
    said.append(os.path.exists(sys.argv[1]))
    os.write(1, b"ready\\n")
    os.read(freed, 1)
    said.append(ProcessLock(sys.argv[1]).take())
    os.write(1, f"{said}\\n".encode())
    os._exit(0)
sys.stdin.readline()
lock.give_back()
os.write(free, b"x")
os.waitpid(child, 0)
"""


def started(code: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_second_one_in_this_process_is_refused_and_drops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    first, second = ProcessLock(str(path)), ProcessLock(f"{tmp_path}/./one.lock")
    assert first.take()
    assert not second.take()
    second.give_back()
    with started(HOLD, path) as other:
        other.communicate(timeout=30)
        assert other.returncode != 0, "it is still this process's"
    first.give_back()
    assert second.take()
    second.give_back(remove=True)
    assert not path.exists()


def test_it_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    assert not holder_lives(str(path))
    process = started(HOLD, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert holder_lives(str(path))
    assert not ProcessLock(str(path)).take()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not holder_lives(str(path))


def test_a_fork_has_none_of_its_parent_s_and_may_take_its_own(tmp_path: Path) -> None:
    process = started(FORK, tmp_path / "one.lock")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    out, _ = process.communicate("\n", timeout=30)
    assert out == "[False, False, True, True]\n"


@pytest.mark.timeout(20)
def test_waiting_for_one_has_an_end(tmp_path: Path) -> None:
    path = str(tmp_path / "one.lock")
    began = time.monotonic()
    with (
        locked(path),
        pytest.raises(TimeoutError, match=r"one\.lock has been locked for 0\.2 s"),
        locked(path, wait_s=0.2),
    ):
        pass
    assert time.monotonic() - began >= 0.2
    with locked(path, wait_s=0.2):
        assert holder_lives(path)
    assert not holder_lives(path)


def test_where_there_are_no_locks_having_one_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's answer is made up: no file system without locks can be mounted here."""

    def refuses(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuses)
    lock = ProcessLock(str(tmp_path / "one.lock"))
    assert lock.take()
    assert not lock.proves
    assert holder_lives(str(tmp_path / "another.lock")), "whoever it is, nobody knows"
