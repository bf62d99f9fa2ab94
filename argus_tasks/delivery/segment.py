"""Segments: the append-only files that a process writes its events to.

A line is an event, as it is sent, or a directive, which starts with `#`: the header, `after` (the
places that must be delivered before the rest of the chain), `upload`, `gap` (evicted lines, which
offsets still count) and `end` (nothing follows).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from argus_tasks.delivery.chain_files import (
    SEGMENT_ENDING,
    Chain,
    idle_chain,
    new_chain,
)
from argus_tasks.delivery.events import LIFECYCLE, LOG, EventStream
from argus_tasks.delivery.segment_places import Ref, after_directive, directive
from argus_tasks.delivery.segment_space import SizeLimits, SpaceCheck

log = logging.getLogger("argus_tasks")

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class SegmentWriter:
    """Writes this process's chain of segments in a folder. Threads share it; a fork opens its own.

    `append` raises no OSError: an event for which there is no space is counted as dropped.
    """

    def __init__(self, folder: str, limits: SizeLimits, *, reuse_idle: bool = False) -> None:
        """Prepare a chain; the first event opens it.

        Args:
            folder: the outbox.
            limits: the limits of the outbox.
            reuse_idle: continue a chain that another process of this host has left idle, and leave
                this one idle at the end.
        """
        self.folder = folder
        self._limits = limits
        self._reuse_idle = reuse_idle
        self.on_open: Callable[[], None] | None = None
        self._parents_place: Ref | None = None
        self._reset()
        _writers.add(self)

    def _reset(self) -> None:
        # Reentrant: a signal handler may emit while its thread holds the lock.
        self._lock = threading.RLock()
        self._descriptor = -1
        self._left = -1
        self._highest = LOG
        self._number = 0
        self._capacity = 0
        self._written_before = 0
        self._space = SpaceCheck(self.folder, self._limits)
        self._chain: Chain | None = None
        self.unsynced = False

    @property
    def chain(self) -> str:
        """The chain's name; empty before the first event."""
        return self._chain.name if self._chain is not None else ""

    @property
    def segment(self) -> str:
        """The name of the current segment."""
        return f"{self.chain}.{self._number:06d}"

    def append(self, line: bytes, kind: int, stream: EventStream) -> bool:
        """Append one event with one write call. False where there was no space; it is counted."""
        with self._lock:
            if stream.after:
                return self._append_first(line, kind, stream)
            size = len(line)
            has_room = self._left >= size and kind <= self._highest
            if not has_room and not self._make_ready(size, kind, line, stream):
                return False
            try:
                written = os.write(self._descriptor, line)
            except OSError as error:
                return self._refused(error, line, kind, stream)
            if written != size:
                return self._cut_short(written, line, kind, stream)
            self._left -= size
            return True

    def _append_first(self, line: bytes, kind: int, stream: EventStream) -> bool:
        """Append a stream's first event together with the places that it waits for, in one write:
        between two, another thread could write an event."""
        after, stream.after = stream.after, ()
        kept = False
        try:
            kept = self.append(after_directive(after) + line, kind, stream)
        finally:
            if not kept:
                stream.after = after
        return kept

    def append_with_ref(
        self,
        line: bytes,
        kind: int,
        stream: EventStream,
        *,
        after: Sequence[Ref] = (),
        sync: bool = False,
    ) -> Ref | None:
        """Append one event.

        Args:
            line: the event.
            kind: its class.
            stream: the stream that has built it.
            after: the places that must be delivered before it.
            sync: whether to flush it to the disk.

        Returns:
            Where it ends; None where there was no space for it.
        """
        if after:
            line = after_directive(after) + line
        with self._lock:
            if not self.append(line, kind, stream):
                return None
            place = self._end()
            descriptor = self._descriptor
        if kind == LIFECYCLE:
            self.unsynced = True
        if sync:
            self.sync_descriptor(descriptor)
        return place

    def append_directive(
        self, value: dict[str, Any], stream: EventStream | None = None
    ) -> Ref | None:
        """Append a directive.

        Args:
            value: its content.
            stream: a stream whose next event waits for places: the directive waits for them, too.

        Returns:
            Where it ends; None where there was no space for it.
        """
        line = directive(value)
        if stream is not None and stream.after:
            line = after_directive(stream.after) + line
        with self._lock:
            try:
                if self._descriptor < 0 or self._is_full(len(line)):
                    self._open_next()
                size = os.fstat(self._descriptor).st_size
                if os.write(self._descriptor, line) != len(line):
                    os.ftruncate(self._descriptor, size)
                    return None
            except OSError as error:
                log.warning("argus-tasks: the outbox could not be written: %s", error)
                return None
            self._left -= len(line)
            return self._end()

    def begin(self) -> str:
        """Open the chain before its first event; returns its name. Errors: OSError."""
        with self._lock:
            if self._descriptor < 0:
                self._open_next()
            return self.chain

    def place(self) -> Ref | None:
        """Where the events of this process end; None before the first event."""
        with self._lock:
            return self._end() if self._descriptor >= 0 else None

    @property
    def written(self) -> int:
        """Bytes appended since the chain was opened."""
        return self._written_before + self._capacity - self._left if self._capacity else 0

    def _end(self) -> Ref:
        # From the file: a signal handler may have written meanwhile.
        return Ref(self.segment, os.fstat(self._descriptor).st_size)

    def sync(self) -> None:
        """Flush lifecycle events that may not be on the disk yet."""
        if self.unsynced and self._descriptor >= 0:
            self.unsynced = False
            self.sync_descriptor(self._descriptor)

    @staticmethod
    def sync_descriptor(descriptor: int) -> None:
        """Flush a file to the disk. One whose descriptor was closed meanwhile is complete."""
        try:
            getattr(os, "fdatasync", os.fsync)(descriptor)
        except OSError:
            pass

    def close(self) -> None:
        """End the chain, or leave it idle. The next append opens another."""
        with self._lock:
            if self._descriptor < 0:
                return
            if not self._reuse_idle:
                try:
                    os.write(self._descriptor, directive({"end": True}))
                except OSError:
                    pass
            os.close(self._descriptor)
            if self._chain is not None:
                self._chain.close(idle=self._reuse_idle)
            self._reset()

    # What follows is off the hot path.

    def _make_ready(self, size: int, kind: int, line: bytes, stream: EventStream) -> bool:
        try:
            if self._descriptor < 0 or self._is_full(size):
                self._open_next()
        except OSError as error:
            return self._refused(error, line, kind, stream)
        if kind > self._highest:
            self._look_for_space()
            if kind > self._highest:
                self._drop(line, stream, "disk_full" if self._space.disk_full else "over_bound")
                return False
        return True

    def _is_full(self, size: int) -> bool:
        # What is larger than a whole segment goes into an empty one.
        return self._left < size and self._left < self._capacity

    def _open_next(self) -> None:
        opens = self._chain is None
        if self._chain is None:
            if self._reuse_idle and (found := idle_chain(self.folder)) is not None:
                self._chain, self._number, self._descriptor = found
                self._begin_segment(os.fstat(self._descriptor).st_size)
                self._begin_chain()
                return
            self._chain = new_chain(self.folder)
        name = f"{self.chain}.{self._number + 1:06d}"
        path = f"{self.folder}/{name}{SEGMENT_ENDING}"
        header = directive(
            {"segment": name, "host": socket.gethostname()}
            | {"pid": os.getpid(), "at": time.time()}
        )
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            if os.write(descriptor, header) != len(header):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.close(descriptor)
            os.unlink(path)  # noqa: PTH108
            raise
        if self._descriptor >= 0:
            self.sync()
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._number += 1
        self._begin_segment(0)
        if opens:
            self._begin_chain()

    def _begin_segment(self, size: int) -> None:
        self._written_before = self.written
        self._capacity = self._left = max(self._limits.segment_bytes - size, 1)
        self._highest = self._space.highest()
        self._space.new_segment()

    def _begin_chain(self) -> None:
        parents_place, self._parents_place = self._parents_place, None
        if parents_place is not None:
            self.append_directive({"after": [str(parents_place)]})
        begin, self.on_open = self.on_open, None
        if begin is not None:
            begin()

    def _refused(self, error: OSError, line: bytes, kind: int, stream: EventStream) -> bool:
        if error.errno in _NO_SPACE:
            return self._no_space(line, kind, stream)
        if error.errno == errno.ENOENT and self._descriptor < 0 and self._chain is not None:
            # The folder was removed: start again in a new one.
            self._chain.abandon()
            self._reset()
        self._drop(line, stream, "disk_error")
        self._space.warn_once("argus-tasks: an event could not be stored: %s", error)
        return False

    def _cut_short(self, written: int, line: bytes, kind: int, stream: EventStream) -> bool:
        try:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
        except OSError:
            # The torn line stays; readers find the next event after it.
            pass
        return self._no_space(line, kind, stream)

    def _no_space(self, line: bytes, kind: int, stream: EventStream) -> bool:
        self._space.disk_ran_full()
        self._highest = LIFECYCLE
        if kind == LIFECYCLE and self._chain is not None and self._chain.release_reserve():
            return self.append(line, kind, stream)
        self._drop(line, stream, "disk_full")
        return False

    def _look_for_space(self) -> None:
        if not self._space.is_due():
            return
        if self._space.disk_full:
            if not self._space.disk_has_space():
                return
            if self._chain is not None:
                self._chain.reserve()
        self._highest = self._space.highest()

    def _drop(self, line: bytes, stream: EventStream, reason: str) -> None:
        if self._chain is not None:
            self._chain.drops.add(stream.batch_id, line, reason)

    def interrupted(self, stream: EventStream) -> None:
        """Count a call that an exception ended; see `Drops.interrupted`."""
        with self._lock:
            if self._chain is not None:
                self._chain.drops.interrupted(stream.batch_id, stream.prefix)

    @property
    def near_limit(self) -> bool:
        """Whether the size limit of the outbox keeps events of some class from being written."""
        return self._highest < LOG and not self._space.disk_full and self._descriptor >= 0

    def check_limit(self) -> None:
        """Look at the size limit of the outbox again. Its sender calls this from time to time."""
        with self._lock:
            if self._descriptor >= 0 and not self._space.disk_full:
                self._highest = self._space.highest()

    def _after_fork(self) -> None:
        if self._descriptor >= 0:
            # The parent's events before the fork are delivered before the child's.
            self._parents_place = self._end()
            with suppress(OSError):
                os.close(self._descriptor)
        if self._chain is not None:
            self._chain.forget()
        self._reset()


def chains_of_this_process() -> set[str]:
    """The names of the chains that this process writes."""
    return {writer.chain for writer in list(_writers) if writer.chain}


_writers: weakref.WeakSet[SegmentWriter] = weakref.WeakSet()


def _renew_writers() -> None:
    for writer in list(_writers):
        writer._after_fork()


os.register_at_fork(after_in_child=_renew_writers)
