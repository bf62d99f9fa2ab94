"""What the sender does, one request at a time, without a thread: take, post, read the answer."""

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
    """An event that was refused while nothing was known to be accepted."""

    part: list[SegmentEvent]
    answer: Answer
    reason: str


class Shipper:
    """Ships the events of one or more outboxes to one server. Only the elected sender runs it."""

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
        self._standing = Backoff(outbox.folder, monotonic, jitter)
        self._taker = EventSelector(outbox, monotonic, self._standing.warn, max_events)
        self._work: list[list[SegmentEvent]] = []
        self._suspects: list[_Suspect] = []
        self._suspects_allowed = 1
        self._accepted_line = b""
        self._was_full = False
        self._clean_at = 0.0
        self.wait_s = self._standing.wait_s
        self.retry_now = self._standing.retry_now
        self.also = self._taker.also
        self.requests = 0
        self.delivered = 0

    @property
    def state(self) -> SenderState:
        """How it stands."""
        return self._standing.state

    @property
    def failing_since(self) -> float | None:
        """Since when, by the monotonic clock, nothing has been accepted; None while it works."""
        return self._standing.failing_since

    def step(self) -> bool:
        """One request, as a rule; True where there may be more to do at once."""
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
                self._standing.rests()
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
        """Remove what is delivered, and make room where the bound is near. About once a second."""
        now = self._monotonic()
        if now < self._clean_at:
            return
        self._clean_at = now + _CLEANING_S
        self._clean_now()

    def finish(self) -> None:
        """Last cleaning."""
        self._clean_now()
        self.forget()

    def forget(self) -> None:
        """Forget what was read: another sender may have been at work meanwhile."""
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
            self._later(answer, answer.words)
        elif 200 <= status < 300:
            said = event_results(answer, _ids(part))
            if said is None:
                self._later(answer, f"the server's answer is not an Argus server's ({status})")
            elif said.unmentioned:
                return self._narrow(part, answer, "the answer does not say what became of it")
            elif self._judge():
                self._work.pop()
                self._accept(part, said.refused)
                # What trickled in meanwhile may wait for company.
                return bool(self._work) or self._was_full
        elif status in (401, 403):
            self._park(f"the server does not take the token ({answer.words}); events are kept")
        elif refuses(status):
            return self._narrow(part, answer, answer.words)
        else:
            where = f" (it points to {answer.location})" if answer.location else ""
            self._park(f"no Argus events route at this URL{where}: {answer.words}; events are kept")
        return False

    def _narrow(self, part: list[SegmentEvent], answer: Answer, reason: str) -> bool:
        """The server does not take this request: find the event it does not take by halving."""
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
        # One event alone: its own fault, if others are taken; else the fault of the way.
        self._suspects.append(_Suspect(part, answer, reason))
        if self._accepted_line:
            probe = self._post([self._accepted_line])
            said = event_results(probe, [event_id_of(self._accepted_line)])
            if said is not None and not said.unmentioned:
                return self._judge()
        elif len(self._suspects) <= self._suspects_allowed:
            return True
        self._blame_the_connection()
        return False

    def _judge(self) -> bool:
        """Others are taken: what was refused before is set aside where it is refused once more.
        False where the way has failed meanwhile."""
        suspects, self._suspects = self._suspects, []
        for suspect in suspects:
            answer = self._post(_lines(suspect.part))
            said = event_results(answer, _ids(suspect.part))
            if said is not None and not said.unmentioned:
                self._accept(suspect.part, said.refused)
            elif said is not None or refuses(answer.status):
                refused = {_ids(suspect.part)[0]: suspect.reason}
                self._accept(suspect.part, refused, suspect.answer.status)
            else:
                self._later(answer, answer.words)
                self.forget()
                return False
        return True

    def _blame_the_connection(self) -> None:
        """Nothing is taken: a proxy's fault, or the server's. All of it is sent again later; by
        then one more may be refused before that is said again, lest a few bad ones block all."""
        suspect = self._suspects[0]
        self._suspects_allowed = min(self._suspects_allowed + 1, _MOST_SUSPECTS)
        self._later(suspect.answer, f"nothing is accepted ({suspect.reason})")
        self.forget()

    def _later(self, answer: Answer, reason: str) -> None:
        if self.failing_since is None:
            parts = [*self._work[-1:], *(suspect.part for suspect in self._suspects)]
            for cursor in {
                id(item.cursor): item.cursor for part in parts for item in part
            }.values():
                cursor.reader.sync()
        self._standing.fails(reason, answer.retry_after_s)
        self._taker.order.restart()

    def _park(self, reason: str) -> None:
        self._standing.parks(reason)
        self._taker.order.restart()

    def _accept(
        self, part: list[SegmentEvent], refused: dict[str, str], status: int | None = None
    ) -> None:
        for item in part:
            cursor, entry = item.cursor, item.entry
            cursor.unordered += item.unordered
            if entry.torn:
                cursor.count_torn(entry.torn)
                self._keep_torn(cursor, entry)
            if entry.line:
                reason = refused.get(event_id_of(entry.line)) if refused else None
                cursor.count(entry.line, refused=reason is not None)
                if reason is None:
                    self.delivered += 1
                    self._accepted_line = entry.line
                else:
                    self._set_aside(cursor.outbox, entry.line, reason, status)
            self._settle_note(cursor, entry)
            cursor.offset = entry.end
        for cursor in {item.cursor.segment: item.cursor for item in part}.values():
            try:
                cursor.outbox.write_ack(cursor.segment, cursor.offset, cursor.ledger)
            except OSError as error:
                # Kept in memory; after a crash these events are sent again and stored once.
                self._standing.warn(f"the outbox took no note of what was delivered: {error}")
        if _lines(part):
            self._suspects_allowed = 1
            self._standing.works()

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

    def _keep_torn(self, cursor: SegmentCursor, entry: Entry) -> None:
        where = f"{cursor.segment}:{entry.at - len(entry.line) - len(entry.torn)}"
        try:
            cursor.outbox.set_aside.put_torn(entry.torn, where)
        except (OSError, TimeoutError) as error:
            log.warning("argus-tasks: what cannot be read could not be set aside: %s", error)
        log.warning(
            "argus-tasks: %d bytes of the outbox cannot be read (%s); they are set aside, the rest"
            " goes on",
            len(entry.torn),
            where,
        )

    def _settle_note(self, cursor: SegmentCursor, entry: Entry) -> None:
        if entry.upload is not None:
            try:
                queue_upload(self._main, entry.upload)
            except OSError as error:
                log.warning("argus-tasks: an upload was lost: %s", error)
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
        """Give up waiting events where an outbox is near its bound."""
        busy = self._busy()
        for outbox in self._taker.outboxes:
            for name in evict(outbox, self._skips(outbox, busy)):
                self._taker.cursors.pop(name, None)

    def _busy(self) -> set[str]:
        parts = [*self._work, *(suspect.part for suspect in self._suspects)]
        return {item.cursor.segment for part in parts for item in part}

    def _skips(self, outbox: Outbox, busy: set[str]) -> set[str]:
        """Segments that may not be rewritten: they are in a request, or still being written."""
        names = outbox.segments()
        last = {chain_of(name): name for name in names}
        return busy | {
            name for chain, name in last.items() if outbox.is_live(chain) or outbox.is_idle(chain)
        }

    def _remove_if_done(self, cursor: SegmentCursor, *, last: bool) -> None:
        if cursor.offset < cursor.reader.position:
            return
        try:
            # Asked first: what a writer wrote before it ended must be seen below.
            if not (cursor.taken_final or not last or cursor.outbox.retire(cursor.chain)):
                return
            rest = cursor.reader.read()
            if any(not entry.final for entry in rest):
                return
            # Nothing but its end stands there: that takes no request.
            for entry in rest:
                cursor.reader.take(entry)
                cursor.offset = entry.end
            torn = cursor.reader.torn_end()
            if torn:
                cursor.count_torn(torn)
            cursor.outbox.fold(cursor.segment, cursor.ledger)
        except (OSError, TimeoutError) as error:
            self._standing.warn(f"a delivered segment could not be removed: {error}")
            return
        self._taker.done_with(cursor)


def _lines(part: list[SegmentEvent]) -> list[bytes]:
    return [item.entry.line for item in part if item.entry.line]


def _ids(part: list[SegmentEvent]) -> list[str]:
    return [event_id_of(line) for line in _lines(part)]
