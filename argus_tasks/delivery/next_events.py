"""What goes next: each chain's entries in their order, and across chains after what they name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from argus_tasks.delivery.event_order import Order
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment_places import Ref, chain_of
from argus_tasks.delivery.segment_progress import Place, SegmentEvent

MAX_EVENTS = 500
MAX_BYTES = 1_000_000
_READ_BYTES = 256 * 1024


class Taker:
    """Takes entries out of one or more outboxes, as many as one request may hold."""

    def __init__(
        self,
        outbox: Outbox,
        monotonic: Callable[[], float],
        warn: Callable[[str], None],
        max_events: int = MAX_EVENTS,
    ) -> None:
        self.outboxes = [outbox]
        self.places: dict[str, Place] = {}
        self._monotonic = monotonic
        self._warn = warn
        self._max_events = max_events
        self._gone: set[str] = set()
        self.order = Order(monotonic)

    def also(self, outbox: Outbox) -> None:
        """Take from this outbox, too."""
        if all(known.folder != outbox.folder for known in self.outboxes):
            self.outboxes.append(outbox)

    def forget(self) -> None:
        """Begin anew behind what has been acknowledged."""
        self.places.clear()
        self.order = Order(self._monotonic)

    def done_with(self, place: Place) -> None:
        """The segment is delivered and removed."""
        self.places.pop(place.segment, None)
        self._gone.add(place.segment)

    def fills_a_request(self, items: Sequence[SegmentEvent]) -> bool:
        """Whether so much was taken that more may wait."""
        size = sum(len(item.entry.line) for item in items)
        return len(items) >= self._max_events or size >= MAX_BYTES // 2

    def collect(self) -> list[SegmentEvent]:
        """The entries that go next, in order."""
        chains = self._refresh()
        items: list[SegmentEvent] = []
        size = 0
        progress = True
        while progress and len(items) < self._max_events:
            progress = False
            for places in chains.values():
                for place in places:
                    before = len(items)
                    try:
                        size, blocked = self._take(place, items, size)
                    except OSError as error:
                        self._warn(f"the outbox cannot be read now: {error}")
                        blocked = True
                    progress = progress or len(items) > before
                    if blocked or size >= MAX_BYTES or len(items) >= self._max_events:
                        break
                if size >= MAX_BYTES or len(items) >= self._max_events:
                    return items
        return items

    def _refresh(self) -> dict[str, list[Place]]:
        chains: dict[str, list[Place]] = {}
        unreadable: set[str] = set()
        for outbox in self.outboxes:
            for segment in outbox.segments():
                place = self.places.get(segment)
                if place is None and chain_of(segment) not in unreadable:
                    try:
                        place = self.places[segment] = Place(outbox, segment)
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        self._warn(f"the outbox cannot be read now: {error}")
                        unreadable.add(chain_of(segment))
                if place is not None:
                    chains.setdefault(place.chain, []).append(place)
        return chains

    def _take(self, place: Place, items: list[SegmentEvent], size: int) -> tuple[int, bool]:
        """Take what may go now; the second value says that this chain goes no further."""
        while not place.taken_final:
            entries = place.reader.read(_READ_BYTES)
            if not entries:
                # A later segment of the chain is listed only where nothing comes here any more.
                return size, False
            for entry in entries:
                if self._waits(place.chain, entry.after):
                    return size, True
                if items and size + len(entry.line) > MAX_BYTES:
                    return MAX_BYTES, True
                size += len(entry.line)
                unordered = any(self.order.gave_up(ref) for ref in entry.after)
                items.append(SegmentEvent(place, entry, unordered))
                place.reader.take(entry)
                self.order.took(place.chain)
                place.taken_final = entry.final
                if len(items) >= self._max_events:
                    return size, True
        return size, False

    def _waits(self, chain: str, after: Sequence[Ref]) -> bool:
        for ref in after:
            if self._is_before(ref) or self.order.gave_up(ref):
                continue
            if not self.order.gives_up(chain, ref):
                return True
            self._warn(f"what should have come before does not come ({ref}): sending on")
        return False

    def _is_before(self, ref: Ref) -> bool:
        """Whether what stands before this place has been settled, or goes out ahead of what is
        taken next; or can never come, because who writes there is dead."""
        place = self.places.get(ref.segment)
        if place is None:
            return ref.segment in self._gone or any(
                box.was_here(ref.segment) for box in self.outboxes
            )
        if place.reader.position >= ref.offset:
            return True
        if place.reader.read(1) or place.outbox.is_live(place.chain):
            return False
        return not place.reader.read(1)
