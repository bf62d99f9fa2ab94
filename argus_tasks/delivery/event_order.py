"""Order across chains: what an event waits for, and when waiting has an end.

An event names places that were written before it, so nothing waits in a circle, and all that is
waited for is there. A damaged disk, a lost folder or an older version may have it otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from argus_tasks.delivery.segment_places import Ref

LIMIT_S = 30.0


class EventOrder:
    """Which chains wait for which places, and for how long without any of them coming nearer."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._taken: Counter[str] = Counter()
        self._waits: dict[str, Ref] = {}
        self._since: dict[Ref, tuple[float, list[tuple[str, int]]]] = {}
        self._given_up: set[Ref] = set()

    def took(self, chain: str) -> None:
        """The chain has come on by an entry."""
        self._taken[chain] += 1
        waited_for = self._waits.pop(chain, None)
        if waited_for is not None:
            self._since.pop(waited_for, None)

    def restart(self) -> None:
        """The server was away: what is waited for could not come."""
        self._since.clear()

    def gave_up(self, ref: Ref) -> bool:
        """Whether this place is not waited for any more."""
        return ref in self._given_up

    def gives_up(self, chain: str, ref: Ref) -> bool:
        """The chain waits for a place that has not come; True where it shall wait no longer.

        That is after 30 s in which the server was there and nothing on the way has come nearer. A
        place that itself stands behind one that is waited for is given up only where they wait in a
        circle.
        """
        self._waits[chain] = ref
        path, circle = self._path(ref)
        now = self._monotonic()
        since, seen = self._since.get(ref, (now, path))
        if seen != path:
            since = now
        self._since[ref] = (since, path)
        if now - since < LIMIT_S or (len(path) > 1 and not circle):
            return False
        self._given_up.add(ref)
        return True

    def _path(self, ref: Ref) -> tuple[list[tuple[str, int]], bool]:
        path: list[tuple[str, int]] = []
        waits_for: Ref | None = ref
        while waits_for is not None:
            chain = waits_for.chain
            if any(chain == known for known, _ in path):
                return path, True
            path.append((chain, self._taken[chain]))
            waits_for = self._waits.get(chain)
        return path, False
