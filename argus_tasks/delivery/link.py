"""A process's way to one server: its segment writer and, where it sends, its sender. Shared by all
reporters of the process that report there."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from argus_tasks.delivery.background_sender import start_background_sender
from argus_tasks.delivery.events import EpochBuilder, EventStream, Source, class_of
from argus_tasks.delivery.outbox_folder import Outbox, folder_for
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.delivery.sender import Sender
from argus_tasks.delivery.transport import HttpTransport

DEFAULT_DEADLINE_S = 5.0


def drain_deadline_s() -> float:
    """How long leaving a reporter may wait for the server: `ARGUS_DRAIN_DEADLINE_S`, else 5 s."""
    try:
        value = float(os.environ.get("ARGUS_DRAIN_DEADLINE_S", "") or DEFAULT_DEADLINE_S)
    except ValueError:
        return DEFAULT_DEADLINE_S
    return value if 0 <= value < 1e6 else DEFAULT_DEADLINE_S


class Link:
    """Writer and sender of one outbox in this process. Made by `open_link`, ended by `close`."""

    def __init__(self, outbox: Outbox, url: str | None, token: Callable[[], str | None]) -> None:
        self.outbox = outbox
        self.writer = SegmentWriter(os.fspath(outbox.folder), outbox)
        self._url = url
        self._token = token
        self.sender = self._make_sender()
        self.sends_in_background = False
        """A process of its own sends what was left."""
        self.users = 0
        if self.sender is not None:
            self.sender.start()

    def drain(self, deadline_s: float) -> bool:
        """Wait until what this process has written is settled; see `Sender.drain`."""
        if self.sender is None:
            return False
        return self.sender.drain(self.writer.place(), deadline_s)

    def close(self, deadline_s: float) -> bool:
        """Leave. The last one ends the chain, drains and stops the sender; what is not delivered
        within `deadline_s` seconds stays on the disk. True where everything was delivered."""
        with _links_guard:
            self.users -= 1
            last = self.users <= 0
            if last and _links.get(os.fspath(self.outbox.folder)) is self:
                del _links[os.fspath(self.outbox.folder)]
        if not last:
            return self.drain(deadline_s)
        end = time.monotonic() + deadline_s
        place = self.writer.place()
        self.writer.close()
        if self.sender is None:
            return False
        delivered = self.sender.drain(place, deadline_s)
        self.sender.stop(min(max(end - time.monotonic(), 0.05), 1.0))
        if not delivered and deadline_s and self._url is not None:
            also = [outbox.folder for outbox in self.sender.others]
            self.sends_in_background = start_background_sender(
                self.outbox.folder, self._url, self._token(), also
            )
        return delivered

    def after_fork(self) -> None:
        """In a forked child: the parent's threads are not here, so start our own."""
        self.sender = self._make_sender()
        if self.sender is not None:
            self.sender.start()

    def _make_sender(self) -> Sender | None:
        url, token = self._url, self._token
        if url is None:
            return None
        return Sender(self.outbox, lambda: HttpTransport(url, token), self.writer)


def open_link(
    url: str | None, token: Callable[[], str | None], *, root: Path | None = None
) -> Link:
    """The way to a server, shared in this process; without a URL, to a later `outbox send`.

    Errors: OSError where the outbox's folder cannot be made.
    """
    folder = folder_for(url, root)
    with _links_guard:
        link = _links.get(os.fspath(folder))
        if link is None:
            outbox = Outbox(folder).create(url)
            link = _links[os.fspath(folder)] = Link(outbox, url, token)
        link.users += 1
        return link


class Emitter:
    """Emits one batch's events into a segment writer. Never blocks on the network."""

    def __init__(self, writer: SegmentWriter, batch_id: str, source: Source) -> None:
        self.writer = writer
        self.stream = EventStream(batch_id, source)
        self.batch_id = self.stream.batch_id

    def emit(
        self,
        event_type: str,
        job_id: str | None,
        data: dict[str, Any],
        *,
        after: Sequence[Ref] = (),
        sync: bool = False,
    ) -> Ref | None:
        """Append one event; where it ends, or None where there was no room (it is counted).

        `after` names what must be acknowledged before it; `sync` flushes it to the disk.
        """
        try:
            line = self.stream.build(event_type, job_id, data)
            return self.writer.append_with_ref(
                line, class_of(event_type), self.stream, after=after, sync=sync
            )
        except BaseException:
            self.interrupted()
            raise

    def interrupted(self) -> None:
        """An exception ended a call that was emitting: one number may be used up."""
        self.writer.interrupted(self.stream)

    def epochs(self, job_id: str) -> EpochBuilder:
        """A builder for one job's epochs; what it builds goes to `writer.append`."""
        return self.stream.epochs(job_id)


_links: dict[str, Link] = {}
_links_guard = threading.Lock()


def _renew_links() -> None:
    # A child that only computes need not send: its thread starts with its first event.
    global _links_guard
    _links_guard = threading.Lock()
    for link in list(_links.values()):
        link.writer.on_open = link.after_fork


os.register_at_fork(after_in_child=_renew_links)


def _drain_at_exit() -> None:
    """The interpreter ends without having left a reporter: give what is written a last chance."""
    for link in list(_links.values()):
        link.users = 1
        link.close(min(drain_deadline_s(), 2.0))


atexit.register(_drain_at_exit)
