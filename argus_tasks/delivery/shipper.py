"""Deliver events, one request at a time, without a thread: select, send, read the answer."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from argus_tasks.delivery.answers import event_results, refuses
from argus_tasks.delivery.events import event_id_of
from argus_tasks.delivery.eviction import evict
from argus_tasks.delivery.next_events import MAX_EVENTS, EventSelector
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.reader import Entry, is_intact
from argus_tasks.delivery.segment_cursor import SegmentCursor, SegmentEvent
from argus_tasks.delivery.segment_places import chain_of
from argus_tasks.delivery.sender_state import Backoff, SenderState
from argus_tasks.delivery.transport import Answer, Transport
from argus_tasks.delivery.uploads import queue_upload

log = logging.getLogger("argus_tasks")

_CLEANING_S = 1.0
_MOST_SUSPECTS = 64


@dataclass(slots=True)
class _Suspect:
    """An event that was refused while no other event was known to be accepted."""

    part: list[SegmentEvent]
    answer: Answer
    reason: str


class Shipper:
    """Delivers the events of one or more outboxes to a server. Only the elected sender uses it."""

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        max_events: int = MAX_EVENTS,
    ) -> None:
        self._main = outbox
        self._transport = transport
        self._monotonic = monotonic
        self._backoff = Backoff(outbox.folder, monotonic, jitter)
        self._taker = EventSelector(outbox, monotonic, self._backoff.warn, max_events)
        self._work: list[list[SegmentEvent]] = []
        self._suspects: list[_Suspect] = []
        self._suspects_allowed = 1
        self._accepted_line = b""
        self._was_full = False
        self._clean_at = 0.0
        self.wait_s = self._backoff.wait_s
        self.retry_now = self._backoff.retry_now
        self.also = self._taker.also
        self.requests = 0
        self.delivered = 0

    @property
    def state(self) -> SenderState:
        """The sender's state."""
        return self._backoff.state

    @property
    def failing_since(self) -> float | None:
        """Since when requests fail, by the monotonic clock; None while they succeed."""
        return self._backoff.failing_since

    def step(self) -> bool:
        """Send one request, if there is anything to send. True where there may be more to send."""
        if self.wait_s() > 0:
            return False
        if not self._work:
            items = self._taker.collect()
            self._was_full = self._taker.fills_a_request(items)
            if items:
                self._work = [items]
            elif self._suspects:
                self._blame_the_connection()
                return False
            else:
                self._backoff.idle()
                return False
        part = self._work[-1]
        if not _lines(part):
            self._work.pop()
            if self._suspects:
                self._suspects[-1].part.extend(part)
            else:
                self._accept(part, {})
            return True
        return self._settle(part, self._post(_lines(part)))

    def clean(self) -> None:
        """Remove delivered segments, and evict events near the limit; at most once a second."""
        now = self._monotonic()
        if now < self._clean_at:
            return
        self._clean_at = now + _CLEANING_S
        self._clean_now()

    def finish(self) -> None:
        """Clean for the last time."""
        self._clean_now()
        self.forget()

    def forget(self) -> None:
        """Forget what was read, because another sender may have delivered some of it."""
        self._taker.forget()
        self._work.clear()
        self._suspects.clear()

    def _post(self, lines: list[bytes]) -> Answer:
        self.requests += 1
        return self._transport.post_events(lines)

    # --- Reading the answer ---

    def _settle(self, part: list[SegmentEvent], answer: Answer) -> bool:
        status = answer.status
        if status is None or status >= 500 or status in (408, 425, 429):
            self._retry_later(answer, answer.words)
        elif 200 <= status < 300:
            results = event_results(answer, _ids(part))
            if results is None:
                self._retry_later(answer, f"the answer is not that of an Argus server ({status})")
            elif results.unmentioned:
                return self._halve(part, answer, "the answer does not say what became of it")
            elif self._retry_suspects():
                self._work.pop()
                self._accept(part, results.refused)
                # Events that were written meanwhile can wait for a fuller request.
                return bool(self._work) or self._was_full
        elif status in (401, 403):
            self._park(f"the server does not accept the token ({answer.words}); events wait")
        elif refuses(status):
            return self._halve(part, answer, answer.words)
        else:
            where = f" (it points to {answer.location})" if answer.location else ""
            self._park(f"no Argus events route at this URL{where}: {answer.words}; events wait")
        return False

    def _halve(self, part: list[SegmentEvent], answer: Answer, reason: str) -> bool:
        """The server refuses this request: find the event that it refuses, by halving."""
        events = [item for item in part if item.entry.line]
        damaged = [item.entry for item in events if not is_intact(item.entry.line)]
        for entry in damaged:
            entry.line, entry.torn = b"", entry.torn + entry.line
        if damaged:
            return True
        self._work.pop()
        if len(events) > 1:
            middle = part.index(events[len(events) // 2])
            self._work += [part[middle:], part[:middle]]
            return True
        # One event alone: its own fault if others are accepted, else a fault of the connection.
        self._suspects.append(_Suspect(part, answer, reason))
        if self._accepted_line:
            probe = self._post([self._accepted_line])
            results = event_results(probe, [event_id_of(self._accepted_line)])
            if results is not None and not results.unmentioned:
                return self._retry_suspects()
        elif len(self._suspects) <= self._suspects_allowed:
            return True
        self._blame_the_connection()
        return False

    def _retry_suspects(self) -> bool:
        """Send the suspects again, now that other events are accepted: one that is refused again is
        set aside. False where the connection has failed meanwhile."""
        suspects, self._suspects = self._suspects, []
        for suspect in suspects:
            answer = self._post(_lines(suspect.part))
            results = event_results(answer, _ids(suspect.part))
            if results is not None and not results.unmentioned:
                self._accept(suspect.part, results.refused)
            elif results is not None or refuses(answer.status):
                refused = {_ids(suspect.part)[0]: suspect.reason}
                self._accept(suspect.part, refused, suspect.answer.status)
            else:
                self._retry_later(answer, answer.words)
                self.forget()
                return False
        return True

    def _blame_the_connection(self) -> None:
        """No event is accepted: a proxy or the server fails. All events are sent again later. Each
        time one more may be refused before this is concluded, so a few bad events cannot block the
        rest."""
        suspect = self._suspects[0]
        self._suspects_allowed = min(self._suspects_allowed + 1, _MOST_SUSPECTS)
        self._retry_later(suspect.answer, f"the server accepts no event ({suspect.reason})")
        self.forget()

    def _retry_later(self, answer: Answer, reason: str) -> None:
        if self.failing_since is None:
            parts = [*self._work[-1:], *(suspect.part for suspect in self._suspects)]
            for cursor in {
                id(item.cursor): item.cursor for part in parts for item in part
            }.values():
                cursor.reader.sync()
        self._backoff.failed(reason, answer.retry_after_s)
        self._taker.order.restart()

    def _park(self, reason: str) -> None:
        self._backoff.parked(reason)
        self._taker.order.restart()

    def _accept(
        self, part: list[SegmentEvent], refused: dict[str, str], status: int | None = None
    ) -> None:
        for item in part:
            cursor, entry = item.cursor, item.entry
            cursor.unordered += item.unordered
            if entry.torn:
                cursor.count_torn(entry.torn)
                self._set_torn_aside(cursor, entry)
            if entry.line:
                reason = refused.get(event_id_of(entry.line)) if refused else None
                cursor.count(entry.line, refused=reason is not None)
                if reason is None:
                    self.delivered += 1
                    self._accepted_line = entry.line
                else:
                    self._set_aside(cursor.outbox, entry.line, reason, status)
            self._apply_directive(cursor, entry)
            cursor.offset = entry.end
        for cursor in {item.cursor.segment: item.cursor for item in part}.values():
            try:
                cursor.outbox.write_ack(cursor.segment, cursor.offset, cursor.ledger)
            except OSError as error:
                # Kept in memory; after a crash these events are sent again and stored once.
                self._backoff.warn(f"the outbox could not record what was delivered: {error}")
        if _lines(part):
            self._suspects_allowed = 1
            self._backoff.succeeded()

    def _set_aside(self, outbox: Outbox, line: bytes, reason: str, status: int | None) -> None:
        try:
            outbox.set_aside.put(line=line, reason=reason, status=status)
        except (OSError, TimeoutError) as error:
            log.warning("argus-tasks: a refused event could not be set aside: %s", error)
        log.warning(
            "argus-tasks: the server refused an event (%s); it is set aside:"
            " argus-tasks outbox show %s",
            reason[:300],
            event_id_of(line),
        )

    def _set_torn_aside(self, cursor: SegmentCursor, entry: Entry) -> None:
        where = f"{cursor.segment}:{entry.at - len(entry.line) - len(entry.torn)}"
        try:
            cursor.outbox.set_aside.put_torn(entry.torn, where)
        except (OSError, TimeoutError) as error:
            log.warning("argus-tasks: unreadable bytes could not be set aside: %s", error)
        log.warning(
            "argus-tasks: %d bytes of the outbox cannot be read (%s); they are set aside, the rest"
            " is delivered",
            len(entry.torn),
            where,
        )

    def _apply_directive(self, cursor: SegmentCursor, entry: Entry) -> None:
        if entry.upload is not None:
            try:
                queue_upload(self._main, entry.upload)
            except OSError as error:
                log.warning("argus-tasks: an upload could not be queued: %s", error)
        if entry.dropped:
            cursor.ledger.add_drops(entry.dropped)

    # --- Cleaning ---

    def _clean_now(self) -> None:
        busy = self._busy()
        for outbox in self._taker.outboxes:
            names = outbox.segments()
            last_of_chain = {chain_of(name): name for name in names}
            for name in names:
                cursor = self._taker.cursors.get(name)
                if cursor is not None and name not in busy:
                    self._remove_if_done(cursor, last=last_of_chain[cursor.chain] == name)
            with_segments = {chain_of(name) for name in outbox.segments()}
            for chain in outbox.chains() - with_segments:
                if not outbox.is_live(chain):
                    with suppress(OSError, TimeoutError):
                        outbox.fold_chain(chain)
        self.make_room()

    def make_room(self) -> None:
        """Evict waiting events where an outbox is near its size limit."""
        busy = self._busy()
        for outbox in self._taker.outboxes:
            for name in evict(outbox, self._skips(outbox, busy)):
                self._taker.cursors.pop(name, None)

    def _busy(self) -> set[str]:
        parts = [*self._work, *(suspect.part for suspect in self._suspects)]
        return {item.cursor.segment for part in parts for item in part}

    def _skips(self, outbox: Outbox, busy: set[str]) -> set[str]:
        """The segments that may not be rewritten: parts of a request, or still being written."""
        names = outbox.segments()
        last = {chain_of(name): name for name in names}
        return busy | {
            name for chain, name in last.items() if outbox.is_live(chain) or outbox.is_idle(chain)
        }

    def _remove_if_done(self, cursor: SegmentCursor, *, last: bool) -> None:
        try:
            # Checked first, so that the last events of the writer are seen below.
            if not (cursor.taken_final or not last or cursor.outbox.retire(cursor.chain)):
                return
            rest = cursor.reader.read()
            if any(not entry.final for entry in rest):
                return
            # Only its end is left, which needs no request.
            for entry in rest:
                cursor.reader.take(entry)
                cursor.offset = entry.end
            torn = cursor.reader.torn_end()
            if torn:
                cursor.count_torn(torn)
            cursor.outbox.fold(cursor.segment, cursor.ledger)
        except (OSError, TimeoutError) as error:
            self._backoff.warn(f"a delivered segment could not be removed: {error}")
            return
        self._taker.done_with(cursor)


def _lines(part: list[SegmentEvent]) -> list[bytes]:
    return [item.entry.line for item in part if item.entry.line]


def _ids(part: list[SegmentEvent]) -> list[str]:
    return [event_id_of(line) for line in _lines(part)]
