"""The best run so far, by one metric."""

from __future__ import annotations

from pathlib import Path

from argus_tasks.base.files import read_json
from argus_tasks.results.read.direction import guess_direction
from argus_tasks.runs.record.layout import METRICS_JSON
from argus_tasks.session.progress import EndedRun
from argus_tasks.workers.attempts.attempt import numbers_of


class Best:
    """Keeps the best of the runs it is shown.

    Without a metric, the first number of the first result is taken; without a direction, what the
    metric's name suggests, else less is better.
    """

    def __init__(self, metric: str | None, direction: str | None) -> None:
        self._metric = metric
        self._direction = direction
        self._value: float | None = None
        self._name = ""

    def consider(self, news: EndedRun) -> None:
        """Look at a run that has ended."""
        self._look(news.run.name, news.outcome.metrics)

    def consider_known(self, name: str, run_dir: Path) -> None:
        """Look at a run that had succeeded before."""
        try:
            metrics = numbers_of(read_json(run_dir / METRICS_JSON))
        except (OSError, ValueError, AttributeError):
            return
        self._look(name, metrics)

    def _look(self, name: str, metrics: dict[str, float]) -> None:
        if self._metric is None and metrics:
            self._metric = next(iter(metrics))
        if self._metric is None or self._metric not in metrics:
            return
        value = metrics[self._metric]
        lower = (self._direction or guess_direction(self._metric) or "min") == "min"
        if self._value is None or (value < self._value if lower else value > self._value):
            self._value, self._name = value, name

    def text(self) -> str:
        """`MSE 0.1234 (ridge-nile-s1)`, or nothing yet."""
        if self._value is None:
            return ""
        return f"{self._metric} {self._value:.4g} ({self._name})"
