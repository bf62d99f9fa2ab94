"""Data that a sweep names as its inputs: hashed, and compared like code."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from glob import glob, has_magic

from argus_tasks.base.errors import BadInput
from argus_tasks.base.files import append_line, dumps, read_json_lines
from argus_tasks.provenance.manifest import CodeFile
from argus_tasks.provenance.naming import FileNames

INPUT = "input"
"""The kind of a file that `inputs` names."""

LARGE = 10_000_000
_CHUNK = 1 << 20


class InputHashes:
    """SHA-256 of input files. Those of large ones are remembered in a file, by size, time of change
    and inode: data may take minutes to read, and is written by programs that do not hide it."""

    def __init__(self, memory: str) -> None:
        self._memory = memory
        self._known = {
            tuple(line["stamp"]): line["digest"]
            for line in read_json_lines(memory)
            if isinstance(line, dict) and {"stamp", "digest"} <= line.keys()
        }

    def digest(self, path: str) -> str:
        """The hash of a file. Errors: OSError."""
        status = os.stat(path)
        stamp = (path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        if status.st_size >= LARGE and stamp in self._known:
            return str(self._known[stamp])
        hashed = hashlib.sha256()
        with open(path, "rb") as handle:
            while chunk := handle.read(_CHUNK):
                hashed.update(chunk)
        digest = hashed.hexdigest()
        if status.st_size >= LARGE:
            self._known[stamp] = digest
            with suppress(OSError):  # it is read again next time
                os.makedirs(os.path.dirname(self._memory), exist_ok=True)
                append_line(self._memory, dumps({"stamp": list(stamp), "digest": digest}))
        return digest


def input_files(
    patterns: Iterable[str],
    folder: str,
    names: FileNames,
    hashes: InputHashes,
    *,
    key: str = "inputs",
    kind: str = INPUT,
) -> dict[str, CodeFile]:
    """The files that paths and glob patterns name, relative to a folder, with their hashes, by
    their absolute paths; of a folder all that is in it.

    Args:
        patterns: paths and glob patterns.
        folder: what they are relative to.
        names: names the files.
        hashes: hashes them.
        key: the key of the sweep file that has the patterns.
        kind: the kind of file that they are.

    Raises:
        BadInput: for a path that is not there.
        OSError: if a file cannot be read.
    """
    found: dict[str, CodeFile] = {}
    for pattern in patterns:
        place = os.path.join(folder, pattern)
        paths = glob(place, recursive=True) if has_magic(place) else [place]
        if not paths or not os.path.exists(paths[0]):
            raise BadInput(
                f"{key} has '{pattern}'; expected a path or pattern of files in {folder}."
            )
        for path in paths:
            for file in _below(os.path.abspath(path)):
                found.setdefault(file, CodeFile(names.name(file), hashes.digest(file), kind))
    return {path: found[path] for path in sorted(found)}


def _below(path: str) -> Iterable[str]:
    if not os.path.isdir(path):
        return [path]
    return [os.path.join(above, name) for above, _, names in os.walk(path) for name in names]
