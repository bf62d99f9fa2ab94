"""The sender's threads. One process of a host delivers an outbox; a lock elects it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from argus_tasks.base.guard import swallow
from argus_tasks.base.locks import ProcessLock
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.delivery.sender_state import SenderState, read_state
from argus_tasks.delivery.shipper import Shipper
from argus_tasks.delivery.transport import Transport
from argus_tasks.delivery.uploads import Uploader, queued

log = logging.getLogger("argus_tasks")

TICK_S = 0.2
LINGER_S = 1.0
_ELECTION_S = 0.5
_ELSEWHERE_S = 1.0
_POLL_S = 0.005
_MUCH_BYTES = 150_000


class Sender:
    """Delivers an outbox from a daemon thread while this process holds the outbox's sender lock."""

    def __init__(
        self,
        outbox: Outbox,
        transport: Callable[[], Transport],
        writer: SegmentWriter | None = None,
        *,
        tick_s: float = TICK_S,
        linger_s: float = LINGER_S,
    ) -> None:
        self._outbox = outbox
        self._make_transport = transport
        self._writer = writer
        self._tick_s = tick_s
        self._linger_s = linger_s
        self._lock = ProcessLock(os.fspath(outbox.folder / "sender.lock"))
        self._wake = threading.Event()
        self._stopping = False
        self._draining = 0
        self._shipper: Shipper | None = None
        self.others: list[Outbox] = []
        """More outboxes that are delivered: folders that workers on other hosts write to."""
        self._thread: threading.Thread | None = None
        self._uploads: threading.Thread | None = None
        self._uploads_wake = threading.Event()
        self._uploading = False

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is None or not self._thread.is_alive():
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="argus-sender", daemon=True)
            self._thread.start()

    def also(self, outbox: Outbox) -> None:
        """Deliver this outbox, too."""
        self.others.append(outbox)
        if self._shipper is not None:
            self._shipper.also(outbox)

    @property
    def state(self) -> SenderState:
        """The state of the elected sender, in this process or another."""
        if self._lock.held and self._shipper is not None:
            return self._shipper.state
        return read_state(self._outbox.folder) or SenderState()

    def drain(self, ref: Ref | None, deadline_s: float) -> bool:
        """Wait until the events before a place, and their uploads, are accepted or set aside.

        Args:
            ref: the place; None for none.
            deadline_s: how long to wait at most, in seconds.

        Returns:
            False after the deadline, or earlier where waiting cannot help: the token is refused,
            the server asked for a longer pause, or it has not answered for twice the deadline.
        """
        return self._drain(lambda: ref is None or self._outbox.acknowledged(ref), deadline_s)

    def drain_all(self, deadline_s: float) -> bool:
        """`drain` for all waiting events, whichever process wrote them."""
        boxes = [self._outbox, *self.others]
        settled = lambda: not any(box.has_waiting() for box in boxes)  # noqa: E731
        return self._drain(settled, deadline_s, poll_s=0.1)

    def _drain(
        self, settled: Callable[[], bool], deadline_s: float, poll_s: float = _POLL_S
    ) -> bool:
        started = time.monotonic()
        end = started + deadline_s
        self._draining += 1
        self._hint()
        self._wake.set()
        tried_from = self._requests()
        hopeless_from = started + min(0.3, deadline_s)
        try:
            while not (settled() and self._uploads_done()):
                now = time.monotonic()
                if now >= end or (
                    now >= hopeless_from and self._in_vain(end, deadline_s, tried_from)
                ):
                    return False
                time.sleep(poll_s if now - started < 1 else 4 * poll_s)
            return True
        finally:
            self._draining -= 1

    def stop(self, timeout_s: float) -> None:
        """End the threads. A thread within a request ends with the process."""
        self._stopping = True
        self._wake.set()
        self._uploads_wake.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(max(timeout_s, 0.0))

    def _in_vain(self, end: float, deadline_s: float, tried_from: int) -> bool:
        state = self.state
        if state.state == "parked":
            # Without the lock, another process sends, or this one is about to.
            waited_s = time.monotonic() - (end - deadline_s)
            return self._requests() > tried_from or (
                not self._lock.held and waited_s > _ELSEWHERE_S
            )
        if state.state == "asked to wait":
            return state.retry_at - time.time() > end - time.monotonic()
        shipper = self._shipper
        return (
            state.state == "waiting"
            and shipper is not None
            and shipper.failing_since is not None
            and self._requests() > tried_from
            and time.monotonic() - shipper.failing_since > 2 * deadline_s
        )

    def _requests(self) -> int:
        return self._shipper.requests if self._shipper is not None else 0

    def _uploads_done(self) -> bool:
        return not self._uploading and not queued(self._outbox)

    def _hint(self) -> None:
        """Have the elected sender of another process send at once."""
        with suppress(OSError):
            (self._outbox.folder / "flush").touch()

    # --- The thread ---

    def _run(self) -> None:
        transport: Transport | None = None
        try:
            while not self._stopping:
                if not self._elected():
                    self._sleep(_ELECTION_S if not self._draining else self._tick_s / 4)
                    continue
                if transport is None:
                    transport = self._make_transport()
                    self._shipper = Shipper(self._outbox, transport)
                    for outbox in self.others:
                        self._shipper.also(outbox)
                self._serve(self._shipper)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 - its events stay in the outbox
            swallow("the sender of the outbox")
        finally:
            if self._lock.held:
                if self._shipper is not None:
                    self._finish(self._shipper)
                self._lock.give_back()
            if transport is not None:
                transport.close()
            self._shipper = None

    def _finish(self, shipper: Shipper) -> None:
        try:
            shipper.finish()
        except OSError as error:
            log.warning("argus-tasks: the outbox was not cleaned up: %s", error)

    def _serve(self, shipper: Shipper) -> None:
        """Deliver until this sender is stopped, or its token is refused."""
        seen = 0
        last_round = -self._linger_s
        flushed_at = self._flush_time()
        drained = False
        while not self._stopping:
            self._sleep(self._pause_s(shipper))
            if self._writer is not None and self._writer.near_limit:
                shipper.make_room()
                self._writer.check_limit()
            now = time.monotonic()
            flush_time = self._flush_time()
            urgent = bool(self._draining) or flush_time != flushed_at
            flushed_at = flush_time
            if self._draining and not drained:
                shipper.retry_now(even_parked=True)
            drained = bool(self._draining)
            written = self._writer.written if self._writer is not None else 0
            much = abs(written - seen) >= _MUCH_BYTES
            if not (urgent or much or now - last_round >= self._linger_s):
                continue
            seen, last_round = written, now
            while not self._stopping and shipper.step():
                pass
            shipper.clean()
            if self._writer is not None:
                self._writer.check_limit()
            self._start_uploads()
            if shipper.state.state == "parked":
                # Another process may have a better token.
                self._let_others_try(shipper)

    def _pause_s(self, shipper: Shipper) -> float:
        if self._draining:
            return min(max(shipper.wait_s(), _POLL_S), self._tick_s)
        return self._tick_s

    def _let_others_try(self, shipper: Shipper) -> None:
        self._lock.give_back()
        pause_s = min(shipper.wait_s(), 2 * _ELECTION_S + 0.1)
        end = time.monotonic() + pause_s
        while time.monotonic() < end and not self._stopping and not self._draining:
            self._sleep(self._tick_s)
        while not self._stopping and not self._elected():
            self._sleep(self._tick_s)
        if not self._stopping:
            shipper.forget()

    def _elected(self) -> bool:
        try:
            return self._lock.take()
        except OSError:
            return False

    def _sleep(self, most_s: float) -> None:
        self._wake.wait(most_s)
        self._wake.clear()
        if self._writer is not None:
            self._writer.sync()

    def _flush_time(self) -> int:
        try:
            return os.stat(self._outbox.folder / "flush").st_mtime_ns  # noqa: PTH116
        except OSError:
            return 0

    # --- The uploads' thread ---

    def _start_uploads(self) -> None:
        if not queued(self._outbox):
            return
        if self._uploads is None or not self._uploads.is_alive():
            self._uploading = True
            self._uploads = threading.Thread(
                target=self._run_uploads, name="argus-uploads", daemon=True
            )
            self._uploads.start()
        self._uploads_wake.set()

    def _run_uploads(self) -> None:
        transport = self._make_transport()
        uploader = Uploader(self._outbox, transport)
        try:
            while not self._stopping and uploader.queue():
                if not uploader.step():
                    self._uploads_wake.wait(self._tick_s)
                    self._uploads_wake.clear()
        except Exception:  # noqa: BLE001 - its files stay in the queue
            swallow("the thread that uploads files")
        finally:
            self._uploading = False
            transport.close()
