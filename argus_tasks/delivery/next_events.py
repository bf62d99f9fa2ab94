"""Select the next events to send: each chain in order, events after those they wait for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from argus_tasks.delivery.event_order import EventOrder
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment_cursor import SegmentCursor, SegmentEvent
from argus_tasks.delivery.segment_places import Ref, chain_of

MAX_EVENTS = 500
MAX_BYTES = 1_000_000
_READ_BYTES = 256 * 1024


class EventSelector:
    """Selects entries of one or more outboxes, as many as one request may hold."""

    def __init__(
        self,
        outbox: Outbox,
        monotonic: Callable[[], float],
        warn: Callable[[str], None],
        max_events: int = MAX_EVENTS,
    ) -> None:
        self.outboxes = [outbox]
        self.cursors: dict[str, SegmentCursor] = {}
        self._monotonic = monotonic
        self._warn = warn
        self._max_events = max_events
        self._gone: set[str] = set()
        self.order = EventOrder(monotonic)

    def also(self, outbox: Outbox) -> None:
        """Select from this outbox, too."""
        if all(known.folder != outbox.folder for known in self.outboxes):
            self.outboxes.append(outbox)

    def forget(self) -> None:
        """Start again after the last acknowledged events."""
        self.cursors.clear()
        self.order = EventOrder(self._monotonic)

    def done_with(self, cursor: SegmentCursor) -> None:
        """Record that a segment was delivered and removed."""
        self.cursors.pop(cursor.segment, None)
        self._gone.add(cursor.segment)

    def fills_a_request(self, items: Sequence[SegmentEvent]) -> bool:
        """Whether these entries nearly fill a request, so that more may be waiting."""
        size = sum(len(item.entry.line) for item in items)
        return len(items) >= self._max_events or size >= MAX_BYTES // 2

    def collect(self) -> list[SegmentEvent]:
        """The entries of the next request, in order."""
        chains = self._refresh()
        items: list[SegmentEvent] = []
        size = 0
        progress = True
        while progress and len(items) < self._max_events:
            progress = False
            for cursors in chains.values():
                for cursor in cursors:
                    before = len(items)
                    try:
                        size, blocked = self._take(cursor, items, size)
                    except OSError as error:
                        self._warn(f"the outbox cannot be read now: {error}")
                        blocked = True
                    progress = progress or len(items) > before
                    if blocked or size >= MAX_BYTES or len(items) >= self._max_events:
                        break
                if size >= MAX_BYTES or len(items) >= self._max_events:
                    return items
        return items

    def _refresh(self) -> dict[str, list[SegmentCursor]]:
        chains: dict[str, list[SegmentCursor]] = {}
        unreadable: set[str] = set()
        for outbox in self.outboxes:
            for segment in outbox.segments():
                cursor = self.cursors.get(segment)
                if cursor is None and chain_of(segment) not in unreadable:
                    try:
                        cursor = self.cursors[segment] = SegmentCursor(outbox, segment)
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        self._warn(f"the outbox cannot be read now: {error}")
                        unreadable.add(chain_of(segment))
                if cursor is not None:
                    chains.setdefault(cursor.chain, []).append(cursor)
        return chains

    def _take(
        self, cursor: SegmentCursor, items: list[SegmentEvent], size: int
    ) -> tuple[int, bool]:
        """Take the entries of a segment that may be sent now. Returns the request's size, and
        whether no more of this chain is taken."""
        while not cursor.taken_final:
            entries = cursor.reader.read(_READ_BYTES)
            if not entries:
                # A chain has a later segment only when nothing more is written to this one.
                return size, False
            for entry in entries:
                if self._waits(cursor.chain, entry.after):
                    return size, True
                if items and size + len(entry.line) > MAX_BYTES:
                    return MAX_BYTES, True
                size += len(entry.line)
                unordered = any(self.order.gave_up(ref) for ref in entry.after)
                items.append(SegmentEvent(cursor, entry, unordered))
                cursor.reader.take(entry)
                self.order.took(cursor.chain)
                cursor.taken_final = entry.final
                if len(items) >= self._max_events:
                    return size, True
        return size, False

    def _waits(self, chain: str, after: Sequence[Ref]) -> bool:
        for ref in after:
            if self._is_before(ref) or self.order.gave_up(ref):
                continue
            if not self.order.gives_up(chain, ref):
                return True
            self._warn(f"events that others wait for do not arrive ({ref}): the others are sent")
        return False

    def _is_before(self, ref: Ref) -> bool:
        """Whether the events before this place are delivered, or are sent ahead of what is taken
        next; or can never arrive, because their writer is dead."""
        cursor = self.cursors.get(ref.segment)
        if cursor is None:
            return ref.segment in self._gone or any(
                box.was_delivered(ref.segment) for box in self.outboxes
            )
        if cursor.reader.position >= ref.offset:
            return True
        if cursor.reader.read(1) or cursor.outbox.is_live(cursor.chain):
            return False
        return not cursor.reader.read(1)
