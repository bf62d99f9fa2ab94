"""Read and write files so that a killed process leaves no half-written file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import Any

# One encoder: `json.dumps` with settings makes one for each call. JSON values have no circles.
_COMPACT = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
)
_CHUNK = 1 << 16


def dumps(value: Any) -> str:
    """Compact JSON of a value that `base.jsonable` has converted."""
    return _COMPACT.encode(value)


PRIVATE = 0o600
"""The mode of a file that only its owner is to read."""
SHARED = 0o666
"""The mode of a file that others may read and write as the umask allows."""


def write_text_whole(
    path: Path | str, text: str, *, sync: bool = False, mode: int = SHARED
) -> None:
    """`write_bytes_whole` of a text, as UTF-8."""
    write_bytes_whole(path, text.encode("utf-8"), sync=sync, mode=mode)


def write_output(path: Path | str, content: str | bytes) -> None:
    """Write what a person asked for into a file that they named: whole, as `write_bytes_whole`
    does; a device or a pipe (`/dev/stdout`) is written into, and not replaced by a file. Errors:
    OSError."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - links are followed
    except FileNotFoundError:
        is_file = True
    if is_file:
        write_bytes_whole(path, data)
        return
    with open(path, "wb") as handle:  # noqa: PTH123 - text paths, too
        handle.write(data)


def write_bytes_whole(
    path: Path | str, data: bytes, *, sync: bool = False, mode: int = SHARED
) -> None:
    """Write a file in one step: a reader sees the old content or the new one, never a part.

    The data are written to a temporary file, which is then renamed.

    Args:
        path: the file.
        data: its content.
        sync: whether to flush file and folder to the disk, to survive a power cut.
        mode: the permissions of a new file, before the umask.

    Raises:
        OSError: the file cannot be written; the error names it.
    """
    target = os.fspath(path)
    beside = f"{target}.{os.getpid()}-{get_ident()}.tmp"  # threads, too, may write one file at once
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, target)  # noqa: PTH105 - text paths: this is on the hot path
    except BaseException as error:
        with suppress(OSError):
            os.unlink(beside)  # noqa: PTH108
        if isinstance(error, OSError):
            error.filename, error.filename2 = target, None
        raise
    if sync:
        sync_path(os.path.dirname(target) or ".")  # noqa: PTH120


def write_json(path: Path | str, value: Any, *, sync: bool = False, indent: int | None = 2) -> None:
    """Write JSON in one step; `base.jsonable` must have converted the value. Errors: OSError."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    write_text_whole(path, text + "\n", sync=sync)


def read_whole(path: Path | str) -> bytes:
    """The content of a file, as `Path.read_bytes`, but three times as fast. Errors: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, _CHUNK)
        if not data or not (more := os.read(descriptor, _CHUNK)):
            return data
        chunks = [data, more]
        while more := os.read(descriptor, _CHUNK):
            chunks.append(more)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def read_json(path: Path | str) -> Any:
    """The value of a JSON file. Errors: OSError; ValueError where it is no JSON."""
    return json.loads(read_whole(path))


def read_mapping(path: Path | str) -> dict[str, Any]:
    """The mapping in a JSON file; empty where the file is missing or unreadable, or holds none."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def open_to_append(path: Path | str) -> int:
    """A descriptor that writes at the end of a file, which is created where it is missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, SHARED)


def ends_torn(descriptor: int) -> bool:
    """Whether the file's last line is incomplete, as after a crash."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    return end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"


def append_line(path: Path | str, text: str, *, sync: bool = False) -> None:
    """Append a line with one write call, so that lines of several processes do not mix.

    After a crash only the last line of the file may be incomplete.
    """
    descriptor = open_to_append(path)
    try:
        os.write(descriptor, (text + "\n").encode("utf-8"))
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json_lines(path: Path | str) -> Iterator[Any]:
    """The values of a file with a JSON value on each line. Lines that are no JSON are skipped.

    A missing file has no lines.
    """
    try:
        handle = open(path, "rb")  # noqa: PTH123, SIM115 - closed below; Path.open is slower
    except (FileNotFoundError, NotADirectoryError):
        return
    with handle:
        for line in handle:
            try:
                yield json.loads(line)
            except ValueError:
                continue


def read_end(path: Path | str, most_bytes: int) -> str:
    """The last bytes of a file that may be large, as text. Errors: OSError."""
    with open(path, "rb") as handle:  # noqa: PTH123
        handle.seek(max(0, handle.seek(0, os.SEEK_END) - most_bytes))
        return handle.read().decode("utf-8", "replace")


class FileTail:
    """Reads a file line by line as it grows; `read` is the offset after the last whole line."""

    def __init__(self, path: str, read: int = 0) -> None:
        self.path = path
        self._read = read

    def lines(self) -> list[bytes]:
        """The new lines; none where there is no such file. Errors: OSError.

        The file is opened each time, for a network disk shows new content only then.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            new = max(0, os.fstat(descriptor).st_size - self._read)
            data = os.pread(descriptor, new, self._read)
        finally:
            os.close(descriptor)
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.splitlines()


def reserve_space(path: Path | str, size: int, mode: int = SHARED) -> None:
    """Create a file of `size` bytes, to be removed when a full disk must still take a few lines.

    Errors: OSError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.write(descriptor, b"\0" * size)
    finally:
        os.close(descriptor)


def sync_path(path: Path | str) -> None:
    """Flush a file, or the entries of a folder, to the disk. Errors: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
