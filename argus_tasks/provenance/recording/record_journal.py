"""How child processes tell of what they load: lines that they append to a file of the parent's."""

from __future__ import annotations

import os
import sys

VARIABLE = "ARGUS_TASKS_CODE"
"""In the environment of child processes: where to tell, and what counts as code."""

INJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inject")
"""The folder on the PYTHONPATH of Python child processes that makes them record."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGE = 1_000_000
_SEPARATOR = "\x1f"


class Journal:
    """A nameless file: this process reads it, its forks and other descendants append."""

    def __init__(self) -> None:
        self._name = ""
        system: str = sys.platform
        if system == "linux":
            self._descriptor = os.memfd_create("argus-code")
        else:
            from tempfile import mkstemp

            self._descriptor, self._name = mkstemp(prefix="argus-code-")
            import atexit

            atexit.register(_remove, self._name, os.getpid())
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._opened_by = os.getpid()
        self._read = 0
        self._owner_address = self.address

    @property
    def address(self) -> str:
        """The path by which a process that inherits no descriptor opens it."""
        return self._name or f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def begin(self) -> None:
        """From now on this process reads: what was written before is not for it."""
        self._read = os.fstat(self._descriptor).st_size
        self._owner_address = self.address

    def forget(self) -> None:
        """Between two runs: what was told is not needed any more, where it is much."""
        if os.fstat(self._descriptor).st_size > _LARGE:
            os.ftruncate(self._descriptor, 0)
            self._read = 0

    def append(self, words: tuple[str, ...]) -> None:
        """Add a line, from a fork. A descriptor that was closed, or is another file by now, is
        never written to: the file is opened again through the reading process."""
        line = line_of(words)
        try:
            status = os.fstat(self._descriptor)
            if (status.st_dev, status.st_ino) == self._identity:
                # A fork shares the offset: O_APPEND makes each line go to the end, whole.
                descriptor = os.open(self.address, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
                try:
                    os.write(descriptor, line)
                finally:
                    os.close(descriptor)
                return
        except OSError:
            pass
        append_to(self._owner_address, line)

    def take(self) -> list[list[str]]:
        """The lines that have come since the last time."""
        size = os.fstat(self._descriptor).st_size
        if size <= self._read:
            return []
        data = os.pread(self._descriptor, size - self._read, self._read)
        whole = data.rfind(b"\n") + 1
        self._read += whole
        return [words_of(line) for line in data[:whole].splitlines()]


def append_to(address: str, line: bytes) -> None:
    """Add a line to another process's journal; nothing where that is gone."""
    try:
        descriptor = os.open(address, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError:
        pass


def line_of(words: tuple[str, ...]) -> bytes:
    """Words as a line."""
    return b"\t".join(os.fsencode(_escaped(word)) for word in words) + b"\n"


def words_of(line: bytes) -> list[str]:
    """The words of a line."""
    return [_plain(os.fsdecode(word)) for word in line.split(b"\t")]


def packed(words: tuple[str, ...]) -> str:
    """Words as the value of `VARIABLE`."""
    return _SEPARATOR.join(words)


def unpacked(value: str) -> list[str]:
    """The words of the value of `VARIABLE`."""
    return value.split(_SEPARATOR)


def recording_environment(environment: dict[str, str] | os._Environ[str], value: str) -> None:
    """Make Python processes that are started with an environment record what they load."""
    environment[VARIABLE] = value
    others = environment.get("PYTHONPATH", "")
    entries = others.split(os.pathsep) if others else []
    environment["PYTHONPATH"] = os.pathsep.join(
        [INJECT, *[entry for entry in entries if entry != INJECT]]
    )


def records_by(environment: Mapping[str, str]) -> bool:
    """Whether a Python process with this environment records what it loads."""
    entries = environment.get("PYTHONPATH", "").split(os.pathsep)
    return bool(environment.get(VARIABLE)) and INJECT in entries


def _escaped(word: str) -> str:
    return word.replace("%", "%25").replace("\t", "%09").replace("\n", "%0A").replace("\r", "%0D")


def _plain(word: str) -> str:
    if "%" not in word:
        return word
    for code, sign in (("%0D", "\r"), ("%0A", "\n"), ("%09", "\t"), ("%25", "%")):
        word = word.replace(code, sign)
    return word


def _remove(name: str, owner: int) -> None:
    if os.getpid() == owner:
        try:
            os.unlink(name)
        except OSError:
            pass
