"""Checks the plan of a search against the trials that were run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class TrialLines:
    """The lines of a search's `plan.jsonl`: one for each trial, by its number."""

    def __init__(self, lines: Iterable[Mapping[str, Any]]) -> None:
        lines = list(lines)
        self._numbers = [line.get("index") for line in lines]
        self._digests = {line.get("digest") for line in lines}

    @property
    def count(self) -> int:
        """How many trials the plan has."""
        return len(self._numbers)

    def wrong(self, ran: Mapping[str, str]) -> Iterator[str]:
        """What is wrong with the plan; `ran` has the run ids that were started, by digest."""
        if sorted(map(str, self._numbers)) != sorted(map(str, range(self.count))):
            yield f"its trials are not those from 0 to {self.count - 1}, each once"
        for digest, run_id in sorted(ran.items()):
            if digest != "None" and digest not in self._digests:
                yield f"{run_id} was run, and no trial of the plan has its config"
