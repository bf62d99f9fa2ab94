"""Files that are never half written, and lines that survive a killed process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import get_ident
from typing import Any

# `json.dumps` with settings makes an encoder a call; what is JSON already refers to nothing twice.
_COMPACT = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
)
_CHUNK = 1 << 16


def dumps(value: Any) -> str:
    """Compact JSON proper of a value that is JSON already (see `base.jsonable`)."""
    return _COMPACT.encode(value)


PRIVATE = 0o600
"""The mode of a file that only its owner is to read."""


def write_text_whole(path: Path | str, text: str, *, sync: bool = False, mode: int = 0o644) -> None:
    """`write_bytes_whole` of a text, as UTF-8."""
    write_bytes_whole(path, text.encode("utf-8"), sync=sync, mode=mode)


def write_bytes_whole(
    path: Path | str, data: bytes, *, sync: bool = False, mode: int = 0o644
) -> None:
    """Write beside, then rename: a reader sees the old content or the new, whatever kills us.

    `sync` also flushes file and folder to the disk, for what must survive a power cut.
    """
    target = os.fspath(path)
    beside = f"{target}.{os.getpid()}-{get_ident()}.tmp"  # threads, too, may write one file at once
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        if sync:
            os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        _remove_quietly(beside)
        raise
    os.close(descriptor)
    os.replace(beside, target)  # noqa: PTH105 - text paths: this is on the hot path
    if sync:
        sync_folder(os.path.dirname(target) or ".")  # noqa: PTH120


def write_json(path: Path | str, value: Any, *, sync: bool = False, indent: int | None = 2) -> None:
    """`write_text_whole` of JSON proper; the value must be JSON already (see `base.jsonable`)."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    write_text_whole(path, text + "\n", sync=sync)


def read_whole(path: Path | str) -> bytes:
    """What is in a file: `Path.read_bytes` at a third of its cost. Errors: OSError."""
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
    """The JSON of a file. Errors: OSError; ValueError where it is no JSON."""
    return json.loads(read_whole(path))


def append_line(path: Path | str, text: str, *, sync: bool = False) -> None:
    """Append one line with one write call: whole or torn at the very end, never interleaved."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, (text + "\n").encode("utf-8"))
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json_lines(path: Path | str) -> Iterator[Any]:
    """The values of a JSON-lines file; a line that does not parse (torn by a crash) is passed over.

    A file that is not there has no lines.
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


def sync_folder(path: Path | str) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_quietly(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        pass
