"""The store of sources and manifests: compressed, named by their hash, shared by all sweeps of a
results root."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from time import time

from argus_tasks.base.files import read_whole
from argus_tasks.provenance.manifest import Manifest, name_of
from argus_tasks.provenance.secret_files import looks_secret

OBJECTS = ".sweep/objects"
"""Where a results root keeps manifests and sources."""

LARGEST_FILE = 1_000_000
MOST_OF_A_BATCH = 50_000_000
_ACCOUNTS = "accounts"
_UNFINISHED_S = 86_400


class ObjectStore:
    """The objects below a folder. Any number of processes may write at the same time.

    Each is written whole beside its place and renamed. Sources are readable by their owner only;
    manifests by whoever may read the results.
    """

    def __init__(self, folder: Path | str, batch: str = "") -> None:
        self.folder = os.fspath(folder)
        self._account = f"{self.folder}/{_ACCOUNTS}/{batch}" if batch else ""
        self._there: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether it is there."""
        if name not in self._there and os.path.exists(self.path(name)):
            self._there.add(name)
        return name in self._there

    def path(self, name: str) -> str:
        """Where the object of this hash lies."""
        return f"{self.folder}/{name[:2]}/{name[2:]}"

    def put_source(self, digest: str, content: bytes, file: str) -> bool:
        """Store the source of a file; False where only its hash is kept, as it is large, looks as
        if it held a secret, or the batch has stored as much as it may. Errors: OSError."""
        if self.has(digest):
            return True
        if len(content) > LARGEST_FILE or looks_secret(file, content):
            return False
        data = zlib.compress(content)
        if not self._charge(len(data)):
            return False
        self._write(digest, data, 0o600)
        return True

    def put_manifest(self, manifest: Manifest) -> str:
        """Store a manifest, and return its name. Errors: OSError."""
        text = manifest.text()
        name = name_of(text)
        if not self.has(name):
            self._write(name, zlib.compress(text.encode("utf-8")), 0o666)
        return name

    def source(self, digest: str) -> bytes | None:
        """The source of this hash; None where it was not stored, or is damaged."""
        try:
            content = zlib.decompress(read_whole(self.path(digest)))
        except (OSError, zlib.error):
            return None
        from hashlib import sha256

        return content if sha256(content).hexdigest() == digest else None

    def manifest(self, name: str) -> Manifest | None:
        """The manifest of this name; None where there is none, or it is damaged."""
        content = self.source(name)
        if content is None:
            return None
        try:
            return Manifest.from_text(content.decode("utf-8"))
        except ValueError:
            return None

    def damaged(self) -> list[Path]:
        """The objects whose content is not what their name says."""
        found = sorted(Path(self.folder).glob("[0-9a-f][0-9a-f]/" + "[0-9a-f]" * 62))
        return [path for path in found if self.source(path.parent.name + path.name) is None]

    def unreferenced(self, manifests: Iterable[str]) -> dict[Path, int]:
        """The files of the store that nothing refers to, with their sizes in bytes, given the
        manifests of all runs that are kept. What a writer has not finished is left out until it
        is a day old."""
        kept: set[str] = set()
        for name in set(manifests):
            found = self.manifest(name)
            kept.add(name)
            if found is not None:
                kept.update(file.digest for file in found.files)
        loose: dict[Path, int] = {}
        for path in Path(self.folder).glob("??/*"):
            status = path.stat()
            unfinished = path.suffix == ".tmp" and time() - status.st_mtime < _UNFINISHED_S
            if path.parent.name + path.name not in kept and not unfinished:
                loose[path] = status.st_size
        return loose

    def _charge(self, size: int) -> bool:
        """Count what a batch stores, in a file that all its processes add to."""
        if not self._account:
            return True
        try:
            spent = sum(int(line) for line in read_whole(self._account).split())
        except (OSError, ValueError):
            spent = 0
        if spent + size > MOST_OF_A_BATCH:
            return False
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = _open_below(self._account, flags, 0o666)
        try:
            os.write(descriptor, f"{size}\n".encode())
        finally:
            os.close(descriptor)
        return True

    def _write(self, name: str, data: bytes, mode: int) -> None:
        target = self.path(name)
        beside = f"{target}.{os.getpid()}-{get_ident()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = _open_below(beside, flags, mode)
        try:
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
            os.replace(beside, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside)
            raise
        self._there.add(name)


def _open_below(path: str, flags: int, mode: int) -> int:
    """Open a file; its folder is made where it is not there."""
    try:
        return os.open(path, flags, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, mode)
