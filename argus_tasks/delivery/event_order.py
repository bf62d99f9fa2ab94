"""Order across chains: which events a chain waits for, and when it stops waiting.

An event may name places in other chains that must be delivered before it. These were written
earlier, so normally they exist and chains do not wait for each other in a circle. After damage to
the disk, a lost folder, or with files of an older version, both can happen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from argus_tasks.delivery.segment_places import Ref

LIMIT_S = 30.0


class EventOrder:
    """Which chain waits for which place, and for how long there has been no progress."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._taken: Counter[str] = Counter()
        self._waits: dict[str, Ref] = {}
        self._since: dict[Ref, tuple[float, list[tuple[str, int]]]] = {}
        self._given_up: set[Ref] = set()

    def took(self, chain: str) -> None:
        """Record that an entry of a chain was taken."""
        self._taken[chain] += 1
        waited_for = self._waits.pop(chain, None)
        if waited_for is not None:
            self._since.pop(waited_for, None)

    def restart(self) -> None:
        """Start all waits anew, because the server did not answer."""
        self._since.clear()

    def gave_up(self, ref: Ref) -> bool:
        """Whether this place is no longer waited for."""
        return ref in self._given_up

    def gives_up(self, chain: str, ref: Ref) -> bool:
        """Record that a chain waits for a place, and decide whether it is to wait any longer.

        The wait is given up after 30 s in which the server answered and no chain that it depends on
        made progress. A place whose own chain waits for another place is given up only where the
        chains wait in a circle.

        Args:
            chain: the chain that waits.
            ref: the place that it waits for.

        Returns:
            True where the place is given up.
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
