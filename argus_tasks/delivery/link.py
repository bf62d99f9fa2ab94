"""A process's link to one server: its segment writer and its sender, shared by all reporters of
the process that report to this server.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from argus_tasks.base.settings import seconds
from argus_tasks.delivery.background_sender import start_background_sender
from argus_tasks.delivery.events import EpochBuilder, EventStream, Source, class_of
from argus_tasks.delivery.outbox_folder import Outbox, folder_for
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.delivery.sender import Sender
from argus_tasks.delivery.transport import HttpTransport

DEFAULT_DEADLINE_S = 5.0


def drain_deadline_s() -> float:
    """How long a reporter may wait for the server at its end, in seconds:
    `ARGUS_DRAIN_DEADLINE_S`, else 5."""
    return seconds("ARGUS_DRAIN_DEADLINE_S", DEFAULT_DEADLINE_S)


class Link:
    """The segment writer and sender of one outbox. Made by `open_link`, ended by `close`."""

    def __init__(self, outbox: Outbox, url: str | None, token: Callable[[], str | None]) -> None:
        self.outbox = outbox
        self.writer = SegmentWriter(os.fspath(outbox.folder), outbox)
        self._url = url
        self._token = token
        self.sender = self._make_sender()
        self.sends_in_background = False
        """Whether a background process was started that sends the rest."""
        self.users = 0
        if self.sender is not None:
            self.sender.start()

    def drain(self, deadline_s: float) -> bool:
        """Wait until all that this process has written is delivered; see `Sender.drain`."""
        if self.sender is None:
            return False
        return self.sender.drain(self.writer.place(), deadline_s)

    def close(self, deadline_s: float) -> bool:
        """End one use of the link. The last user closes the chain and stops the sender.

        Args:
            deadline_s: how long to wait for the server at most, in seconds. What is not delivered
                by then stays on the disk.

        Returns:
            Whether everything was delivered.
        """
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
        """In a forked child, which inherits no thread: start a sender of its own."""
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
    """The link to a server; reporters of one process share it.

    Args:
        url: the server; None where events are kept for a later `argus-tasks outbox send`.
        token: returns the token at each request.
        root: the folder of all outboxes.

    Raises:
        OSError: the outbox's folder cannot be made.
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
    """Builds the events of one batch and appends them. Never waits for the network."""

    def __init__(self, writer: SegmentWriter, batch_id: str, source: Source) -> None:
        self.writer = writer
        self.stream = EventStream(batch_id, source)
        self.batch_id = self.stream.batch_id
        self.append = writer.append

    def emit(
        self,
        event_type: str,
        job_id: str | None,
        data: dict[str, Any],
        *,
        after: Sequence[Ref] = (),
        sync: bool = False,
    ) -> Ref | None:
        """Append one event.

        Args:
            event_type: the event's type.
            job_id: the job's id on the monitor; None for an event of the batch.
            data: the event's data.
            after: the places in the outbox that must be delivered before it.
            sync: whether to flush it to the disk.

        Returns:
            Where it ends; None where there was no space for it, which is counted.
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
        """Count a call that an exception ended: it may have used up a number without an event."""
        self.writer.interrupted(self.stream)

    def epochs(self, job_id: str) -> EpochBuilder:
        """A builder for the epoch events of one job, which are passed to `append`."""
        return self.stream.epochs(job_id)

    def upload(self, record: dict[str, Any]) -> bool:
        """Queue an upload, to be sent after the events before it. False where it was refused."""
        return self.writer.append_directive({"upload": record}, self.stream) is not None


_links: dict[str, Link] = {}
_links_guard = threading.Lock()


def _renew_links() -> None:
    # A child that reports nothing needs no sender: its thread starts with its first event.
    global _links_guard
    _links_guard = threading.Lock()
    for link in list(_links.values()):
        link.writer.on_open = link.after_fork


os.register_at_fork(after_in_child=_renew_links)


def _drain_at_exit() -> None:
    """Try to deliver what is written, where the interpreter ends before a reporter was left."""
    for link in list(_links.values()):
        link.users = 1
        link.close(min(drain_deadline_s(), 2.0))


atexit.register(_drain_at_exit)
