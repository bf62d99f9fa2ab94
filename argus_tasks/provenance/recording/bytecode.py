"""The code of a source: from its `.pyc` where that certainly is the source's, else compiled."""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader, cache_from_source
from _imp import _fix_co_filename, source_hash  # type: ignore[attr-defined]

from argus_tasks.provenance.recording.content import grain_ns, read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


def cached_code(path: str, data: bytes, status: os.stat_result) -> CodeType | None:
    """The code of the `.pyc` of a source, where that certainly is the source's."""
    try:
        cached, cached_status = read_file(cache_from_source(path))
    except (OSError, NotImplementedError):
        return None
    if len(cached) <= 16 or cached[:4] != MAGIC_NUMBER:
        return None
    flags = int.from_bytes(cached[4:8], "little")
    if flags & 1:
        certain = cached[8:16] == source_hash(int.from_bytes(MAGIC_NUMBER, "little"), data)
    else:
        # Python compares whole seconds and the size only: an edit of equal size within a second,
        # or one that puts the time back, would go unnoticed. The time of the last change to the
        # file's entry cannot be put back.
        written_ns = cached_status.st_mtime_ns
        certain = (
            cached[8:16] == _stamp(status)
            and status.st_ctime_ns + grain_ns(status.st_ctime_ns, written_ns) < written_ns
        )
    if not certain:
        return None
    try:
        code = marshal.loads(memoryview(cached)[16:])
    except (ValueError, EOFError, TypeError):
        return None
    if type(code) is not type(cached_code.__code__):
        return None
    _fix_co_filename(code, path)
    return code


def compiled_code(
    loader: SourceFileLoader, path: str, data: bytes, status: os.stat_result
) -> CodeType:
    """The code of a source that was read, compiled; its `.pyc` is written as Python would."""
    code: CodeType = loader.source_to_code(data, path)
    if not sys.dont_write_bytecode:
        try:
            cached = cache_from_source(path)
        except NotImplementedError:
            return code
        now = os.stat(path)
        if (now.st_ctime_ns, now.st_ino) != (status.st_ctime_ns, status.st_ino):
            return code  # edited meanwhile: the cache would be taken for the new text's
        header = MAGIC_NUMBER + bytes(4) + _stamp(status)
        mode = (status.st_mode | 0o200) & 0o666
        loader.set_data(cached, header + marshal.dumps(code), _mode=mode)
    return code


def _stamp(status: os.stat_result) -> bytes:
    numbers = (int(status.st_mtime), status.st_size)
    return b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)


def may_be_stale(path: str, data: bytes, status: os.stat_result, started_ns: int) -> bool:
    """Whether Python itself, without our loader, may have taken a `.pyc` that is not of this
    source: one that was there before this process, and is not certainly younger."""
    try:
        cached, cached_status = read_file(cache_from_source(path))
    except (OSError, NotImplementedError):
        return False
    written_ns = cached_status.st_mtime_ns
    if written_ns >= started_ns or cached[:4] != MAGIC_NUMBER or cached[8:16] != _stamp(status):
        return False
    if status.st_ctime_ns + grain_ns(status.st_ctime_ns, written_ns) < written_ns:
        return False
    try:
        code = marshal.loads(memoryview(cached)[16:])
        return bool(compile(data, path, "exec", dont_inherit=True) != code)
    except (ValueError, EOFError, TypeError, SyntaxError):
        return True
