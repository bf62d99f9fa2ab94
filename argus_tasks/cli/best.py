"""The best run so far, by one metric."""

from __future__ import annotations

from pathlib import Path

from argus_tasks.base.files import read_json
from argus_tasks.results.read.direction import guess_direction
from argus_tasks.runs.record.layout import METRICS_JSON
from argus_tasks.session.progress import EndedRun
from argus_tasks.workers.attempts.attempt import numbers_of


class Best:
    """Keeps the best run of a sweep so far.

    Without a metric it takes the first number of the first result; without a direction, the one
    that the metric's name suggests, else less is better.
    """

    def __init__(self, metric: str | None, direction: str | None) -> None:
        self._metric = metric
        self._direction = direction
        self._value: float | None = None
        self._name = ""

    def consider(self, news: EndedRun) -> None:
        """Look at a run that has ended."""
        self._compare(news.run.name, news.outcome.metrics)

    def consider_known(self, name: str, run_dir: Path) -> None:
        """Compare a run that succeeded in an earlier session."""
        try:
            metrics = numbers_of(read_json(run_dir / METRICS_JSON))
        except (OSError, ValueError, AttributeError):
            return
        self._compare(name, metrics)

    def _compare(self, name: str, metrics: dict[str, float]) -> None:
        if self._metric is None and metrics:
            self._metric = next(iter(metrics))
        if self._metric is None or self._metric not in metrics:
            return
        value = metrics[self._metric]
        lower = (self._direction or guess_direction(self._metric) or "min") == "min"
        if self._value is None or (value < self._value if lower else value > self._value):
            self._value, self._name = value, name

    def text(self) -> str:
        """A text such as `MSE 0.1234 (ridge-nile-s1)`; empty while there is no result."""
        if self._value is None:
            return ""
        return f"{self._metric} {self._value:.4g} ({self._name})"
