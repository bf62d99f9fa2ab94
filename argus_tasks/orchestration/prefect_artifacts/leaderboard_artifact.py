"""The leaderboard of a sweep that is still running, kept up from what has ended since."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.files import read_mapping
from argus_tasks.base.given import distinguished, given_of
from argus_tasks.base.ids import canonical_json
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.nested import flatten
from argus_tasks.base.redact import known_secrets, redact_value
from argus_tasks.planning.sweep_plan import Action, PlannedRun
from argus_tasks.results.read.direction import Direction, guess_direction
from argus_tasks.results.tables.leaderboard import SEED
from argus_tasks.results.tables.table import distinguishing_keys, value_text
from argus_tasks.runs.record.layout import METRICS_JSON, SUCCEEDED
from argus_tasks.session.sweep_session import SweepSession
from argus_tasks.workers.attempts.attempt import numbers_of

MOST_READ = 200
"""How many folders of reused runs are looked into at one time."""


@dataclass(slots=True)
class _Place:
    """Runs whose configs differ in nothing but their seed."""

    config: dict[str, Any]
    total: float = 0.0
    count: int = 0

    @property
    def mean(self) -> float:
        return self.total / self.count


class RunningLeaderboard:
    """Mean of the first metric by config, seeds taken together; each look costs what is new.

    A config with a result that is not finite has no place.
    """

    def __init__(self, session: SweepSession) -> None:
        self._session = session
        self._waiting = {run.index for run in session.plan.to_do}
        self._reused = [run for run in session.plan.runs if run.action is Action.REUSE]
        self._places: dict[str, _Place] = {}
        self._search = session.request.search
        self.metric: str | None = self._search.metric if self._search else None

    @property
    def direction(self) -> Direction:
        """What is better, as the search or the metric's name tells; less, where it does not."""
        if self._search is not None:
            return self._search.direction
        return (guess_direction(self.metric) if self.metric else None) or "min"

    def look(self) -> None:
        """Take in what has succeeded since the last look."""
        for index in list(self._waiting):
            outcome = self._session.results.outcomes.get(index)
            if outcome is not None and outcome.ending.status == SUCCEEDED:
                self._waiting.discard(index)
                self._take(self._session.plan.runs[index], outcome.metrics, outcome.not_finite)
        now, self._reused = self._reused[:MOST_READ], self._reused[MOST_READ:]
        for run in now:
            if run.known is not None:
                metrics = read_mapping(f"{run.known.run_dir}/{METRICS_JSON}")
                self._take(run, numbers_of(metrics), run.known.record.get("nonfinite") or ())

    def _take(
        self, run: PlannedRun, metrics: dict[str, float], not_finite: Collection[str]
    ) -> None:
        if self.metric is None and (metrics or not_finite):
            self.metric = next(iter(metrics), "") or next(iter(not_finite))[1:]
        if self.metric is None:
            return
        odd = f"/{self.metric}" in not_finite
        if self.metric not in metrics and not odd:
            return
        plain = redact_value(to_jsonable(run.config), known_secrets())
        shown = distinguished(plain, given_of(run.config), run.name)
        flat = {key: value for key, value in flatten(shown).items() if key != SEED}
        place = self._places.setdefault(canonical_json(flat), _Place(flat))
        place.total += math.nan if odd else metrics[self.metric]
        place.count += 1

    def rows(self, most: int) -> list[dict[str, str | int | float]]:
        """The best so far, as the rows of a table; their columns are what tells them apart."""
        sign = 1 if self.direction == "min" else -1
        ranked = [place for place in self._places.values() if math.isfinite(place.mean)]
        best = heapq.nsmallest(most, ranked, key=lambda place: sign * place.mean)
        known = dict.fromkeys(key for place in best for key in place.config)
        differ = [
            key
            for key in known
            if len(best) == 1 or len({canonical_json(place.config.get(key)) for place in best}) > 1
        ]
        keys = distinguishing_keys(differ, [place.config for place in best])
        return [
            {
                "#": rank,
                **{
                    key: value_text(place.config[key], 40) if key in place.config else ""
                    for key in keys
                },
                f"{self.metric} (mean)": float(f"{place.mean:.6g}"),
                "n": place.count,
            }
            for rank, place in enumerate(best, 1)
        ]
