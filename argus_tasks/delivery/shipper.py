"""What the sender does, one request at a time, without a thread: take, post, read the answer.

Within a chain the order is kept always; across chains where an event names its predecessors.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from argus_tasks.base.files import write_json
from argus_tasks.delivery.events import event_id_of, series_of
from argus_tasks.delivery.outbox import Outbox
from argus_tasks.delivery.reader import Entry, SegmentReader, batch_of, torn_series
from argus_tasks.delivery.relief import relieve
from argus_tasks.delivery.segment import Ref
from argus_tasks.delivery.transport import Answer, Transport
from argus_tasks.delivery.uploads import queue_upload

log = logging.getLogger("argus_tasks")

MAX_EVENTS = 500
MAX_BYTES = 1_000_000
_BACKOFF_FIRST_S = 0.25
_BACKOFF_LAST_S = 30.0
_PARKED_S = 30.0
_MISSING_WAIT_S = 30.0
_CLEANING_S = 1.0
_READ_BYTES = 256 * 1024


@dataclass(slots=True)
class _Item:
    place: _Place
    entry: Entry


class _Place:
    """One segment as the sender sees it."""

    def __init__(self, outbox: Outbox, segment: str) -> None:
        self.outbox = outbox
        self.segment = segment
        self.chain = segment.rsplit(".", 1)[0]
        self.offset, self.ledger = outbox.read_ack(segment)
        self.reader = SegmentReader(outbox.segment_path(segment), self.offset)
        self.series: dict[str, str] = {
            prefix: batch_id
            for batch_id, counts in self.ledger.batches.items()
            for prefix in counts.series
        }
        self.taken_final = False


@dataclass
class State:
    """How the sender stands, for people and for other processes."""

    state: str = "idle"
    reason: str = ""
    since: float = field(default_factory=time.time)
    retry_at: float = 0.0
    pid: int = field(default_factory=os.getpid)


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
        self._outboxes = [outbox]
        self._transport = transport
        self._monotonic = monotonic
        self._jitter = jitter
        self._max_events = max_events
        self._places: dict[str, _Place] = {}
        self._gone: set[str] = set()
        self._missing_since: dict[Ref, float] = {}
        self._work: list[list[_Item]] = []
        self._failures = 0
        self._was_full = False
        self._warned: set[str] = set()
        self._not_before = 0.0
        self._clean_at = 0.0
        self.failing_since: float | None = None
        self.state = State()
        self.requests = 0
        self.delivered = 0

    def also(self, outbox: Outbox) -> None:
        """Ship this outbox's events too (segments of workers on a shared file system)."""
        if all(known.folder != outbox.folder for known in self._outboxes):
            self._outboxes.append(outbox)

    def wait_s(self) -> float:
        """How long the server asked us, or we have chosen, to wait; 0 where nothing holds us."""
        return max(self._not_before - self._monotonic(), 0.0)

    def retry_now(self, *, even_parked: bool = False) -> None:
        """Do not wait out a back-off of our own; what the server asked for is kept."""
        if self.state.state == "waiting" or (even_parked and self.state.state == "parked"):
            self._not_before = 0.0

    def step(self) -> bool:
        """One request at most; True where there may be more to do at once."""
        if self.wait_s() > 0:
            return False
        if not self._work:
            items = self._collect()
            size = sum(len(item.entry.line) for item in items)
            self._was_full = len(items) >= self._max_events or size >= MAX_BYTES // 2
            if items:
                self._work = [items]
        if not self._work:
            if self.state.state not in ("idle", "parked"):
                self._tell(State())
            return False
        part = self._work[-1]
        if not any(item.entry.line for item in part):
            self._work.pop()
            self._accept(part, {})
            return True
        self.requests += 1
        answer = self._transport.post_events([item.entry.line for item in part if item.entry.line])
        return self._settle(part, answer)

    def clean(self) -> None:
        """Remove what is delivered, and make room where the bound is near. About once a second."""
        now = self._monotonic()
        if now < self._clean_at:
            return
        self._clean_at = now + _CLEANING_S
        self._clean_now()

    def finish(self) -> None:
        """Last cleaning; close all files."""
        self._clean_now()
        self.forget()

    def forget(self) -> None:
        """Forget what was read: another sender may have been at work meanwhile."""
        for place in self._places.values():
            place.reader.close()
        self._places.clear()
        self._work.clear()

    def acknowledged(self, ref: Ref) -> bool:
        """Whether everything before this place is settled."""
        place = self._places.get(ref.segment)
        if place is not None:
            return place.offset >= ref.offset
        return (
            ref.segment in self._gone
            or any(
                not os.path.exists(outbox.segment_path(ref.segment))  # noqa: PTH110
                or outbox.read_ack(ref.segment)[0] >= ref.offset
                for outbox in self._outboxes[:1]
            )
        )

    # --- Taking ---

    def _collect(self) -> list[_Item]:
        chains: dict[str, list[_Place]] = {}
        for place in self._refresh():
            chains.setdefault(place.chain, []).append(place)
        items: list[_Item] = []
        size = 0
        progress = True
        while progress and len(items) < self._max_events:
            progress = False
            for places in chains.values():
                for place in places:
                    before = len(items)
                    size, blocked = self._take(place, items, size)
                    progress = progress or len(items) > before
                    if blocked or size >= MAX_BYTES or len(items) >= self._max_events:
                        break
                if size >= MAX_BYTES or len(items) >= self._max_events:
                    return items
        return items

    def _refresh(self) -> list[_Place]:
        places: list[_Place] = []
        for outbox in self._outboxes:
            for segment in outbox.segments():
                place = self._places.get(segment)
                if place is None:
                    try:
                        place = _Place(outbox, segment)
                    except OSError:
                        continue
                    self._places[segment] = place
                places.append(place)
        return places

    def _take(self, place: _Place, items: list[_Item], size: int) -> tuple[int, bool]:
        """Take what may go now; the second value says that this chain goes no further."""
        while not place.taken_final:
            entries = place.reader.read(_READ_BYTES)
            if not entries:
                # A later segment of the chain is listed only where nothing comes here any more.
                return size, False
            for entry in entries:
                if entry.after and not all(self._is_before(ref) for ref in entry.after):
                    return size, True
                if items and size + len(entry.line) > MAX_BYTES:
                    return MAX_BYTES, True
                size += len(entry.line)
                items.append(_Item(place, entry))
                place.reader.take(entry)
                place.taken_final = entry.final
                if len(items) >= self._max_events:
                    return size, True
        return size, False

    def _is_before(self, ref: Ref) -> bool:
        """Whether what stands before this place has been settled, or goes out ahead of what is
        taken next. A segment that nobody has heard of is waited for, but not for ever."""
        place = self._places.get(ref.segment)
        if place is not None:
            if place.reader.position >= ref.offset:
                return True
            return not place.reader.read(1) and not place.outbox.is_live(place.chain)
        if ref.segment in self._gone or any(box.was_here(ref.segment) for box in self._outboxes):
            return True
        since = self._missing_since.setdefault(ref, self._monotonic())
        if self._monotonic() - since < _MISSING_WAIT_S:
            return False
        self._warn(f"what should have come before is nowhere ({ref.segment}): sending on")
        return True

    # --- Reading the answer ---

    def _settle(self, part: list[_Item], answer: Answer) -> bool:
        status = answer.status
        events = [item for item in part if item.entry.line]
        if status is not None and 200 <= status < 300:
            refused = self._refused_events(events, answer)
            if refused is not None:
                self._work.pop()
                self._accept(part, refused)
                # What trickled in meanwhile may wait for company.
                return bool(self._work) or self._was_full
            self._later(answer, f"the server's answer is not an Argus server's ({status})")
        elif status in (401, 403):
            self._park(f"the server does not take the token ({answer.words}); events are kept")
        elif status in (404, 405) or (status is not None and 300 <= status < 400):
            where = f" (it points to {answer.location})" if answer.location else ""
            self._park(f"no Argus events route at this URL{where}: {answer.words}; events are kept")
        elif status is None or status >= 500 or status in (408, 425, 429):
            self._later(answer, answer.words)
        elif len(events) > 1:
            self._work.pop()
            middle = part.index(events[len(events) // 2])
            self._work += [part[middle:], part[:middle]]
            return True
        else:
            self._work.pop()
            refused = {event_id_of(events[0].entry.line): answer.words} if events else {}
            self._accept(part, refused, status)
            return True
        return False

    def _refused_events(self, events: list[_Item], answer: Answer) -> dict[str, str] | None:
        """Which events the server refused and why; None where the answer cannot be believed."""
        body = answer.body
        if not isinstance(body, dict):
            return None
        results = body.get("results")
        if not isinstance(results, list) or not results:
            whole = body.get("accepted") == len(events) and not body.get("rejected")
            return {} if whole else None
        said = {str(one.get("event_id")): one for one in results if isinstance(one, dict)}
        refused: dict[str, str] = {}
        for item in events:
            event_id = event_id_of(item.entry.line)
            one = said.get(event_id)
            if one is None:
                return None
            if one.get("status") == "rejected":
                refused[event_id] = str(one.get("error") or "rejected")
            elif one.get("status") not in ("accepted", "deduplicated"):
                return None
        return refused

    def _accept(
        self, part: list[_Item], refused: dict[str, str], status: int | None = None
    ) -> None:
        touched: dict[str, _Place] = {}
        for item in part:
            place, entry = item.place, item.entry
            touched[place.segment] = place
            if entry.line:
                self._count_event(place, entry, refused, status)
            self._settle_note(place, entry)
            place.offset = entry.end
        for place in touched.values():
            try:
                place.outbox.write_ack(place.segment, place.offset, place.ledger)
            except OSError as error:
                # Kept in memory; after a crash these events are sent again and stored once.
                self._warn(f"the outbox took no note of what was delivered: {error}")
        self._failures = 0
        self._not_before = 0.0
        self.failing_since = None
        if self.state.state != "sending":
            if self.state.state in ("parked", "waiting"):
                log.info("argus-tasks: events are delivered again")
            self._warned.clear()
            self._tell(State("sending"))

    def _count_event(
        self, place: _Place, entry: Entry, refused: dict[str, str], status: int | None
    ) -> None:
        prefix, number = series_of(entry.line)
        batch_id = place.series.get(prefix)
        if batch_id is None:
            batch_id = place.series[prefix] = batch_of(entry.line)
        counts = place.ledger.of(batch_id)
        counts.saw(prefix, number)
        reason = refused.get(event_id_of(entry.line)) if refused else None
        if reason is None:
            counts.delivered += 1
            self.delivered += 1
            return
        counts.set_aside += 1
        self._set_aside(place.outbox, entry.line, reason, status)

    def _set_aside(self, outbox: Outbox, line: bytes, reason: str, status: int | None) -> None:
        try:
            outbox.set_aside(line=line, reason=reason, status=status)
        except (OSError, TimeoutError) as error:
            log.warning("argus-tasks: a refused event could not be set aside: %s", error)
        log.warning(
            "argus-tasks: the server refused an event (%s); it is set aside:"
            " argus-tasks outbox show %s",
            reason[:300],
            event_id_of(line),
        )

    def _settle_note(self, place: _Place, entry: Entry) -> None:
        if entry.upload is not None:
            try:
                queue_upload(self._main, entry.upload)
            except OSError as error:
                log.warning("argus-tasks: an upload was lost: %s", error)
        if entry.dropped:
            place.ledger.add_drops(entry.dropped)
        if entry.torn:
            self._count_torn(place, entry.torn)

    @staticmethod
    def _count_torn(place: _Place, torn: bytes) -> None:
        series = torn_series(torn)
        if series and series[0] in place.series:
            counts = place.ledger.of(place.series[series[0]])
            counts.saw(*series)
            counts.drop("torn")

    def _later(self, answer: Answer, reason: str) -> None:
        self._failures += 1
        if self.failing_since is None:
            self.failing_since = self._monotonic()
            for place in {id(item.place): item.place for item in self._work[-1]}.values():
                place.reader.sync()
        pause_s = min(_BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 16), _BACKOFF_LAST_S)
        pause_s *= 0.5 + self._jitter() / 2
        asked = answer.retry_after_s
        if asked is not None:
            pause_s = asked + 0.05 * self._jitter()
        self._not_before = self._monotonic() + pause_s
        self._warn(f"events wait: {reason}")
        self._tell(
            State("asked to wait" if asked is not None else "waiting", reason),
            retry_in_s=pause_s,
        )

    def _park(self, reason: str) -> None:
        self._not_before = self._monotonic() + _PARKED_S
        if self.failing_since is None:
            self.failing_since = self._monotonic()
        self._warn(reason)
        self._tell(State("parked", reason), retry_in_s=_PARKED_S)

    def _warn(self, reason: str) -> None:
        if reason not in self._warned:
            level = logging.WARNING if not self._warned else logging.INFO
            self._warned.add(reason)
            log.log(level, "argus-tasks: %s", reason)

    def _tell(self, state: State, *, retry_in_s: float = 0.0) -> None:
        state.retry_at = time.time() + retry_in_s if retry_in_s else 0.0
        if state.state == self.state.state:
            state.since = self.state.since
        self.state = state
        try:
            write_json(self._main.folder / "sender.json", asdict(state))
        except OSError:
            pass

    # --- Cleaning ---

    def _clean_now(self) -> None:
        busy = {item.place.segment for part in self._work for item in part}
        for outbox in self._outboxes:
            names = outbox.segments()
            last_of_chain = {name.rsplit(".", 1)[0]: name for name in names}
            for name in names:
                place = self._places.get(name)
                if place is not None and name not in busy:
                    self._remove_if_done(place, last=last_of_chain[place.chain] == name)
            with_segments = {name.rsplit(".", 1)[0] for name in outbox.segments()}
            for chain in outbox.chains() - with_segments:
                if not outbox.is_live(chain):
                    with suppress(OSError, TimeoutError):
                        outbox.fold_chain(chain)
        self.make_room()

    def make_room(self) -> None:
        """Give up waiting events where an outbox is near its bound."""
        busy = {item.place.segment for part in self._work for item in part}
        for outbox in self._outboxes:
            for name in relieve(outbox, self._skips(outbox, busy)):
                forgotten = self._places.pop(name, None)
                if forgotten is not None:
                    forgotten.reader.close()

    def _skips(self, outbox: Outbox, busy: set[str]) -> set[str]:
        """Segments that may not be rewritten: they are in a request, or still being written."""
        names = outbox.segments()
        last = {name.rsplit(".", 1)[0]: name for name in names}
        return busy | {name for chain, name in last.items() if outbox.is_live(chain)}

    def _remove_if_done(self, place: _Place, *, last: bool) -> None:
        # Asked first: what a writer wrote before it ended must be seen below.
        ended = place.taken_final or not last or not place.outbox.is_live(place.chain)
        if not ended or place.offset < place.reader.position:
            return
        rest = place.reader.read(_READ_BYTES)
        if any(not entry.final for entry in rest):
            return
        # Nothing but its end stands there: that takes no request.
        for entry in rest:
            place.reader.take(entry)
            place.offset = entry.end
        try:
            torn = place.reader.torn_end()
            if torn:
                self._count_torn(place, torn)
            place.outbox.fold(place.segment, place.ledger)
        except (OSError, TimeoutError) as error:
            self._warn(f"a delivered segment could not be removed: {error}")
            return
        place.reader.close()
        self._places.pop(place.segment, None)
        self._gone.add(place.segment)
