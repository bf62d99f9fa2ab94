"""The order in which the configs of a sweep are started."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from statistics import mean
from typing import Literal, TypeAlias

from argus_tasks.spec.varying_keys import Pair

# given: as in the file. smoke_first: first a few configs that together contain each value, then
# those that are expected to take longest. shuffle: at random, the same at each start of a batch.
Order: TypeAlias = Literal["given", "smoke_first", "shuffle"]

# A key with more numbers than this is covered by its smallest and its largest.
MANY_NUMBERS = 16


def shuffled(keys: Mapping[int, str], batch_id: str) -> list[int]:
    """The indexes in an order drawn from the batch's id.

    Each position depends on the config's own key alone, so configs that are added later leave the
    order of the others unchanged.
    """

    def place(index: int) -> bytes:
        return hashlib.sha256(f"{batch_id}\n{keys[index]}".encode()).digest()

    return sorted(keys, key=place)


def covering(
    to_do: Mapping[int, Iterable[Pair]], everything: Sequence[Iterable[Pair]]
) -> list[int]:
    """Choose a few configs that together contain each value of each key.

    Args:
        to_do: the key-value pairs of the configs to choose from; only their values are covered.
        everything: the pairs of all configs, to find the keys with many numbers (see
            `MANY_NUMBERS`).

    Returns:
        Their indexes; first those that contain most values that no earlier one has.
    """
    values: defaultdict[str, set[str]] = defaultdict(set)
    for pairs in everything:
        for key, text in pairs:
            values[key].add(text)
    counted = {key: _ends(texts) for key, texts in values.items()}
    left = {
        index: {(key, text) for key, text in pairs if text in counted[key]}
        for index, pairs in to_do.items()
    }
    wanted = set().union(*left.values())
    chosen: list[int] = []
    # The config with most new values comes first. That number only falls, so a config whose number
    # is unchanged since it was put on the heap is the best of all.
    heap = [(-len(pairs), index) for index, pairs in left.items()]
    heapq.heapify(heap)
    while wanted and heap:
        worth, index = heapq.heappop(heap)
        now = -len(left[index] & wanted)
        if now == worth:
            chosen.append(index)
            wanted -= left[index]
        elif now:
            heapq.heappush(heap, (now, index))
    return chosen


def _ends(texts: set[str]) -> set[str]:
    if len(texts) > MANY_NUMBERS:
        with suppress(ValueError):
            numbers = sorted(texts, key=float)
            return {numbers[0], numbers[-1]}
    return texts


class ExpectedDurations:
    """Estimates how long configs take, from the durations of runs that share values with them.

    The factor of a value is the ratio of the geometric mean duration of the runs that have it to
    that of all runs. The estimate for a config is the mean of all runs times the factors of its
    values.

    Args:
        history: the key-value pairs of runs that have succeeded, and their durations in seconds.
    """

    def __init__(self, history: Iterable[tuple[Iterable[Pair], float]]) -> None:
        logs: defaultdict[Pair, list[float]] = defaultdict(list)
        every: list[float] = []
        for pairs, seconds in history:
            log = math.log(max(seconds, 1e-6))
            every.append(log)
            for pair in pairs:
                logs[pair].append(log)
        self.count = len(every)
        self._mean = mean(every) if every else 0.0
        self._factors = {pair: mean(found) - self._mean for pair, found in logs.items()}

    def seconds(self, pairs: Iterable[Pair]) -> float:
        """The expected duration in seconds; the same for all configs if there is no history."""
        return math.exp(self._mean + sum(self._factors.get(pair, 0.0) for pair in pairs))
