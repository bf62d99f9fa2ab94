from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from argus_tasks.base import locks

HOLD_AND_WAIT = (
    "import sys; from pathlib import Path; from argus_tasks.base import locks;"
    "locks.take_hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.readline()"
)


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_WAIT, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str], how: int = signal.SIGKILL) -> None:
    process.send_signal(how)
    process.communicate()


def test_a_hold_goes_with_its_process_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "hold.lock"
    probe = locks.HoldProbe(path)
    assert not probe.held()
    first, second = holder(path), holder(path)
    assert probe.held()
    if sys.platform == "linux":
        assert locks.holders(path) == sorted([first.pid, second.pid])
    end(first)
    assert probe.held()
    end(second)
    assert not probe.held()
    assert locks.holders(path) == []
    probe.close()


def test_holds_of_one_process_are_counted_and_a_fork_has_none(tmp_path: Path) -> None:
    path = tmp_path / "hold.lock"
    code = f"""
import os, sys
from pathlib import Path
from argus_tasks.base import locks
path = Path({str(path)!r})
locks.take_hold(path); locks.take_hold(path); locks.drop_hold(path)
child = os.fork()
if child == 0:
    locks.drop_hold(path)      # not the child's to drop
    os.read(0, 1)
    os._exit(0)
print(child, flush=True)
os.read(0, 1)
os.kill(os.getpid(), 9)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    child = int(process.stdout.readline())
    probe = locks.HoldProbe(path)
    assert probe.held()
    end_parent = process.pid
    os.kill(end_parent, signal.SIGKILL)
    process.wait()
    assert not probe.held(), "the forked child kept the hold of its parent"
    os.kill(child, signal.SIGKILL)
    probe.close()
    process.communicate()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_can_hold_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "hold.lock"
    locks.take_hold(path)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        locks.take_hold(path)
        os.write(write_end, b"x")
        signal.pause()  # the parent kills us
    os.read(read_end, 1)
    locks.drop_hold(path)
    try:
        code = (
            "import sys; from pathlib import Path; from argus_tasks.base import locks;"
            "print(locks.HoldProbe(Path(sys.argv[1])).held())"
        )
        asked = [sys.executable, "-c", code, str(path)]
        assert subprocess.check_output(asked, text=True) == "True\n"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read_end)
        os.close(write_end)
    assert subprocess.check_output(asked, text=True) == "False\n"


def test_a_flock_is_handed_on_with_its_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "alive.lock"
    descriptor = locks.take_flock(path)
    child = subprocess.Popen(["sleep", "30"], pass_fds=(descriptor,))
    os.close(descriptor)
    assert locks.has_flock(path)
    child.kill()
    child.wait()
    assert not locks.has_flock(path)
    assert not locks.has_flock(tmp_path / "never made")


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's answer is made up: no file system without locks can be mounted here."""

    def refuses(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuses)
    monkeypatch.setattr(fcntl, "flock", refuses)
    path = tmp_path / "hold.lock"
    for take in (locks.take_hold, locks.take_flock, lambda path: locks.exclusive(path).__enter__()):
        with pytest.raises(OSError, match="No locks") as raised:
            take(path)
        assert raised.value.filename == str(path)
    assert locks.has_flock(path), "whoever it is, nobody knows"
    probe = locks.HoldProbe(path)
    assert probe.held()
    probe.close()
