"""What a process has loaded: files with their hashes, and names that were looked for in vain."""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident
from itertools import count

from argus_tasks.provenance.recording.bytecode import may_be_stale
from argus_tasks.provenance.recording.content import (
    grain_ns,
    process_start_ns,
    read_file,
    sha256_hex,
)
from argus_tasks.provenance.recording.record_journal import Journal, append_to, line_of
from argus_tasks.provenance.recording.scope import CodeScope

MODULE, SCRIPT, READ, CONFIG, BINARY = "module", "script", "read", "config", "binary"
"""How a file was used: imported, executed otherwise, opened for reading, opened as a config, or
loaded as machine code or an archive."""

LARGEST_CONFIG = 1_000_000
MOST_CONFIGS = 200


class Seen:
    """A file that was loaded.

    Attributes:
        digest: SHA-256 of what was loaded last.
        kind: how it was used.
        unsure: what was loaded may have been another content.
        run: the number of the run that loaded it; 0 for before the first.
        others: other contents of it in the same run: what a reload replaced, what a child loaded.
        source: its content, until it is stored.
        stamp: by what the file's state is known again; None where only its content tells.
    """

    __slots__ = ("digest", "kind", "others", "run", "source", "stamp", "unsure")

    def __init__(self, digest: str, kind: str, unsure: bool, run: int) -> None:
        self.digest = digest
        self.kind = kind
        self.unsure = unsure
        self.run = run
        self.others: tuple[str, ...] = ()
        self.source: bytes | None = None
        self.stamp: tuple[int, ...] | None = None


class Quiet:
    """A context in which the thread's own reading is not recorded."""

    def __init__(self, threads: set[int]) -> None:
        self._threads = threads
        self._nested = True

    def __enter__(self) -> None:
        self._nested = get_ident() in self._threads
        self._threads.add(get_ident())

    def __exit__(self, *_: object) -> None:
        if not self._nested:
            self._threads.discard(get_ident())


class Recorder:
    """What this process and its children have loaded. One a process; safe to use from its threads.

    Attributes:
        scope: what counts as code.
        hooked: what is loaded is noted when it is loaded; else `catch_up` looks at what is there.
        files: by absolute path, links not followed.
        absent: for each folder and top-level name that was looked for there in vain, whether a
            folder without `__init__.py` would be found, and the number of the run.
        installed: top-level names that were found in folders of installed distributions.
        written: the files that this process has opened for writing.
        bounded: scripts of child processes that could not be made to record.
        run: the number of the run that goes on.
        version: another number after each thing that was recorded.
        journal: what child processes tell; None in a child that tells its parent.
        tells_to: the address of the parent's journal; None in the run's own process.
        quiet_threads: the threads whose reading is our own.
        cut: how many config files were left out, as there were too many.
    """

    def __init__(
        self, scope: CodeScope, tell_to: str | None = None, *, hooked: bool = False
    ) -> None:
        self.scope = scope
        self.hooked = hooked
        self.files: dict[str, Seen] = {}
        self.absent: dict[tuple[str, str], tuple[bool, int]] = {}
        self.installed: dict[str, str] = {}
        self.written: set[str] = set()
        self.bounded: set[str] = set()
        self.run = 0
        self.version = 0
        self.cut = 0
        self.quiet_threads: set[int] = set()
        self.started_ns = process_start_ns()
        self.journal = Journal() if tell_to is None else None
        self.tells_to = tell_to
        self._owner = os.getpid() if tell_to is None else 0
        self._versions = count(1)
        self._configs = 0
        self._others = False
        self._loaded_in_run = False
        self._scanned = 0
        # What only children have told of, by path or by folder and name: their process numbers.
        self._of_children: dict[str | tuple[str, str], set[int]] = {}

    def begin_run(self) -> None:
        """Another run starts in this process: what was loaded by an earlier one is marked so."""
        self.run += 1
        self._forget_children()
        if self._loaded_in_run:
            self._changed()  # it is an earlier run's now
            self._loaded_in_run = False
        if self.bounded and self.run > 1:
            self.bounded.clear()
            self._changed()
        if self._others:
            self._others = False
            for seen in self.files.values():
                seen.others = ()
        if self.journal is not None:
            if self._owner == os.getpid():
                self.journal.forget()
            else:  # an attempt of its own, forked from a worker
                self._owner = os.getpid()
                self.journal.begin()

    def saw(
        self,
        path: str,
        digest: str,
        kind: str,
        *,
        unsure: bool = False,
        source: bytes | None = None,
        status: os.stat_result | None = None,
        by_child: bool = False,
    ) -> None:
        """Note that a file was loaded with a content; `status` is its state before it was read."""
        if not by_child:
            self._of_children.pop(path, None)
        seen = self.files.get(path)
        executed = kind in (MODULE, SCRIPT, BINARY)
        if seen is None:
            if kind == CONFIG:
                if self._configs >= MOST_CONFIGS:
                    self.cut += 1
                    return
                self._configs += 1
            seen = self.files[path] = Seen(digest, kind, unsure, self.run)
            seen.source = source
        elif seen.digest == digest and seen.unsure == unsure:
            if seen.run in (0, self.run) and (kind == seen.kind or not executed):
                return
            seen.run = self.run if seen.run else 0
            seen.kind = kind if executed else seen.kind
        elif not executed and seen.kind in (MODULE, SCRIPT, BINARY):
            # Read as a text after it was edited: what is executed is still what was loaded.
            if digest == seen.digest or digest in seen.others:
                return
            self._also(seen, digest)
        else:
            if seen.digest != digest:
                self._also(seen, seen.digest)
                seen.source = source
            seen.digest, seen.unsure, seen.run = digest, unsure, self.run
            seen.kind = kind if executed else seen.kind
        if status is not None and self.files[path].digest == digest:
            self.files[path].stamp = _stamp(status)
        self._changed()
        self._tell("file", digest, kind, "unsure" if unsure else "", path)

    def saw_now(self, path: str, kind: str, *, foreign: bool) -> None:
        """Note a file by the content that it has now.

        `foreign`: it was loaded by somebody else, at some time since this process was started; so
        where it was changed since then, nobody knows what was loaded.
        """
        try:
            data, status = read_file(path)
        except OSError:
            return
        if kind == CONFIG and len(data) > LARGEST_CONFIG:
            return
        changed_ns = status.st_ctime_ns
        unsure = foreign and (
            changed_ns + grain_ns(changed_ns) >= self.started_ns
            or (kind == MODULE and may_be_stale(path, data, status, self.started_ns))
        )
        self.saw(path, sha256_hex(data), kind, unsure=unsure, source=data, status=status)

    def missed(self, folder: str, name: str, *, bare: bool) -> None:
        """Note that a name was looked for in a folder in vain. `bare`: a folder of that name
        without `__init__.py` would have been found."""
        known = self.absent.get((folder, name))
        if known is not None and (known[0] or not bare) and known[1] in (0, self.run):
            return
        run = self.run if known is None or known[1] else 0
        self.absent[folder, name] = (bare or bool(known and known[0]), run)
        self._changed()
        self._tell("absent", "bare" if bare else "", folder, name)

    def found_installed(self, name: str, folder: str) -> None:
        """Note that a top-level name was found in a folder of installed distributions."""
        if name not in self.installed:
            self.installed[name] = folder
            self._changed()
            self._tell("installed", name, folder)

    def wrote(self, path: str) -> None:
        """Note that a file was opened for writing."""
        if path not in self.written:
            self.written.add(path)
            self._changed()
            self._tell("wrote", path)

    def cannot_follow(self, script: str) -> None:
        """Note a child process that runs a script and does not record what it loads."""
        if script not in self.bounded:
            self.bounded.add(script)
            self._changed()
            self._tell("bounded", script)

    def quiet(self) -> Quiet:
        """A context in which what this thread opens is not recorded."""
        return Quiet(self.quiet_threads)

    def catch_up(self) -> None:
        """Take in what child processes have told since the run began, and, in a process without
        hooks, what has been loaded."""
        if not self.hooked:
            self.scan()
        if self.journal is None or os.getpid() != self._owner:
            return
        for child, kind, *words in self.journal.take():
            if kind == "file":
                digest, how, unsure, path = words
                self._heard_file(int(child), path, digest, how, bool(unsure))
            elif kind == "absent":
                folder, name = words[1:]
                if (folder, name) not in self.absent:
                    self._of_children.setdefault((folder, name), set()).add(int(child))
                self.missed(folder, name, bare=bool(words[0]))
            elif kind == "installed":
                self.found_installed(words[0], words[1])
            elif kind == "wrote":
                self.wrote(words[0])
            elif kind == "bounded":
                self.cannot_follow(words[0])

    def scan(self) -> None:
        """Note what is loaded already, by its content now. Without hooks it is all that is known:
        what was noted once is not looked at again."""
        if len(sys.modules) == self._scanned:
            return
        self._scanned = len(sys.modules)
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if type(path) is not str:
                continue
            path = os.path.abspath(path)
            if path not in self.files and self.scope.counts(path):
                binary = not path.endswith((".py", ".pyw", ".pyc"))
                main = getattr(module, "__name__", "") == "__main__"
                kind = BINARY if binary else SCRIPT if main else MODULE
                self.saw_now(path, kind, foreign=True)

    def stale(self) -> list[str]:
        """The files that were executed, and are another text now: a fork of this process would
        have the old one for what is imported, and the new one for what it imports later. To be
        asked between two runs."""
        if self.journal is not None:
            self.journal.forget()
        return [
            path
            for path, seen in list(self.files.items())
            if seen.kind in (MODULE, SCRIPT, BINARY) and _differs(path, seen)
        ]

    def _heard_file(self, child: int, path: str, digest: str, kind: str, unsure: bool) -> None:
        seen = self.files.get(path)
        if seen is not None and seen.digest != digest:  # what this process has is not replaced
            if digest not in seen.others:
                self._also(seen, digest)
                self._changed()
            return
        if seen is None or path in self._of_children:
            self._of_children.setdefault(path, set()).add(child)
        self.saw(path, digest, kind, unsure=unsure, by_child=True)
        seen = self.files.get(path)
        if seen is not None and seen.source is None:
            try:
                data, _ = read_file(path)
            except OSError:
                return
            if sha256_hex(data) == digest:
                seen.source = data

    def _forget_children(self) -> None:
        """What only children had loaded that have ended since is nowhere any more."""
        for key, children in list(self._of_children.items()):
            if not any(_lives(child) for child in children):
                del self._of_children[key]
                if isinstance(key, str):
                    self.files.pop(key, None)
                else:
                    self.absent.pop(key, None)
                self._changed()

    def _also(self, seen: Seen, digest: str) -> None:
        seen.others = (*seen.others, digest)
        self._others = True

    def _changed(self) -> None:
        # One call that threads cannot interleave: a lost count would hide what was loaded.
        self._loaded_in_run = self.run > 0
        self.version = next(self._versions)

    def _tell(self, *words: str) -> None:
        if self.tells_to is not None:
            append_to(self.tells_to, line_of((str(os.getpid()), *words)))
        elif os.getpid() != self._owner and self.journal is not None:
            self.journal.append((str(os.getpid()), *words))


def _stamp(status: os.stat_result) -> tuple[int, ...] | None:
    """None where the last change is so recent that another one could look the same."""
    changed_ns = status.st_ctime_ns
    if changed_ns + grain_ns(changed_ns) >= time.time_ns():
        return None
    return changed_ns, status.st_mtime_ns, status.st_size, status.st_ino


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _differs(path: str, seen: Seen) -> bool:
    try:
        if seen.stamp is not None:
            status = os.stat(path)
            if seen.stamp == _stamp(status):
                return False
        return sha256_hex(read_file(path)[0]) != seen.digest
    except OSError:
        return True
