"""The breaker: holds configs back that have a value in common with those that fail alike.

Where `after` configs that share one value have failed with the same signature, none with that
value has succeeded, and of the configs with another value of that key more have succeeded than have
failed so, the value is blamed, and what has it is not started.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from argus_tasks.planning.sweep_plan import Action, PlannedRun
from argus_tasks.runs.record.causes import TIMEOUT
from argus_tasks.runs.record.layout import FAILED, SUCCEEDED
from argus_tasks.runs.record.run_record import Ending
from argus_tasks.spec.varying_keys import Pair, Pairs, shown_pair, varying
from argus_tasks.workers.attempts.messages import Outcome
from argus_tasks.workers.isolation.worker_death import LOG_TAIL

# As tracebacks and faulthandler write it.
_FRAME = re.compile(r'^ *File "(.*?)", line (\d+),? in (.*)$', re.MULTILINE)
_LONGEST_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class Blame:
    """Values that the configs which failed alike have in common.

    Attributes:
        values: `key=value` of each; more than one where they have always come together.
        failed: how many configs with them have failed alike.
        cause: what they failed of.
        message: the last one's message, its first line.
        held: how many configs are held back for it.
    """

    values: tuple[str, ...]
    failed: int
    cause: str
    message: str
    held: int = 0

    @property
    def accusation(self) -> str:
        """`model=x: 3 such failed alike with ImportError: no module`."""
        said = f": {self.message}" if self.message else ""
        return (
            f"{' and '.join(self.values)}: {self.failed} such failed alike with {self.cause}{said}"
        )

    def sentence(self) -> str:
        """`12 held, model=x: 3 such failed alike with ImportError: no module`."""
        return f"{self.held} held, {self.accusation}"


class Breaker:
    """Which configs are held back; safe from many threads. Off (`after` None) it costs nothing.

    Args:
        after: how many configs must have failed alike.
        runs: all configs of the sweep; those that succeeded before count as well.
    """

    def __init__(self, after: int | None, runs: Sequence[PlannedRun]) -> None:
        self._after = after
        self._lock = threading.Lock()
        self._pairs: list[tuple[Pair, ...]] = []
        self._succeeded: Counter[Pair] = Counter()
        self._succeeded_with_key: Counter[str] = Counter()
        self._alike: dict[str, _Alike] = {}
        self._blamed: dict[frozenset[Pair], _Alike] = {}
        if after is None:
            return
        made = Pairs()
        self._pairs = varying([made.of(run.config) for run in runs])
        for run in runs:
            if run.action is Action.REUSE:
                self._count_success(run.index)

    def ended(self, run: PlannedRun, outcome: Outcome) -> None:
        """A run has ended for good."""
        if self._after is None:
            return
        ending, index = outcome.ending, run.index
        with self._lock:
            if ending.status == SUCCEEDED:
                self._count_success(index)
            elif ending.status == FAILED and not ending.resumable:
                signature = signature_of(ending, outcome.stack)
                alike = self._alike.setdefault(signature, _Alike(ending))
                alike.add(index, self._pairs[index], ending)
            else:
                return
            self._blamed = self._find(self._after)

    def holds(self, index: int) -> bool:
        """True where the config is held back, as things stand."""
        if not self._blamed:
            return False
        own = set(self._pairs[index])
        return any(values <= own for values in self._blamed)

    def blames(self, left: Collection[int]) -> list[Blame]:
        """What is blamed, with how many of the configs that are left it holds back."""
        with self._lock:
            blamed = dict(self._blamed)
        found = []
        for values, alike in blamed.items():
            held = sum(values <= set(self._pairs[index]) for index in left)
            message = (alike.last.error_message or "").strip().partition("\n")[0]
            found.append(
                Blame(
                    tuple(sorted(shown_pair(pair) for pair in values)),
                    len(alike.failed[next(iter(values))]),
                    alike.last.cause or FAILED,
                    message[:_LONGEST_MESSAGE],
                    held,
                )
            )
        return found

    def _count_success(self, index: int) -> None:
        self._succeeded.update(self._pairs[index])
        self._succeeded_with_key.update(key for key, _ in self._pairs[index])

    def _find(self, after: int) -> dict[frozenset[Pair], _Alike]:
        blamed: dict[frozenset[Pair], _Alike] = {}
        for alike in self._alike.values():
            suspects = {
                pair: alike.failed[pair]
                for pair in alike.often(after)
                if not self._succeeded[pair]
                and self._succeeded_with_key[pair[0]]
                > alike.with_key[pair[0]] - len(alike.failed[pair])
            }
            for cases in suspects.values():
                # What fails in a part of another's cases only is that other's doing; what fails
                # in the very same cases cannot be told apart from it.
                if not any(cases < others for others in suspects.values()):
                    same = frozenset(pair for pair in suspects if suspects[pair] == cases)
                    blamed[same] = alike
        return blamed


class _Alike:
    """The configs that have failed with one signature."""

    def __init__(self, last: Ending) -> None:
        self.last = last
        self.failed: dict[Pair, set[int]] = {}
        self.with_key: Counter[str] = Counter()

    def add(self, index: int, pairs: Iterable[Pair], ending: Ending) -> None:
        self.last = ending
        for pair in pairs:
            self.failed.setdefault(pair, set()).add(index)
            self.with_key[pair[0]] += 1

    def often(self, after: int) -> Iterable[Pair]:
        """The values that so many of them share."""
        return [pair for pair, failed in self.failed.items() if len(failed) >= after]


def signature_of(ending: Ending, stack: str) -> str:
    """What tells one way to fail from another: the cause and the frames of the stack.

    Messages are left out, since they hold values; so are folders, since they differ between hosts.
    """
    if ending.cause == TIMEOUT:  # where it was at that moment says nothing
        return TIMEOUT
    stack = stack.partition(LOG_TAIL)[0]
    frames = [
        f"{file.rpartition('/')[2]}:{line}:{name}" for file, line, name in _FRAME.findall(stack)
    ]
    return "\n".join([ending.cause or "", *frames])
