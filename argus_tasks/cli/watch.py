"""A sweep's progress: a live bar on a terminal, plain lines in a log or pipe."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from argus_tasks.base.files import read_mapping
from argus_tasks.cli.say import say
from argus_tasks.planning.sweep_plan import Action
from argus_tasks.results.read.direction import guess_direction
from argus_tasks.runs.record.layout import FAILED, METRICS_JSON
from argus_tasks.session.progress import EndedRun, ProgressSnapshot
from argus_tasks.session.sweep_session import SweepSession
from argus_tasks.workers.attempts.attempt import numbers_of

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LIVE_EVERY_S = 0.2
_PLAIN_EVERY_S = 5.0
_SHOWN_NAMES = 3


def watching(
    metric: str | None, direction: str | None
) -> Callable[[SweepSession], AbstractContextManager[None]]:
    """A watcher for `launch` that shows the best run so far by this metric."""

    @contextmanager
    def watch(session: SweepSession) -> Iterator[None]:
        live = sys.stdout.isatty()
        show: _Live | _Plain = _Live(session) if live else _Plain(session)
        best = _Best(metric, direction)
        for run in session.plan.runs:
            if run.action is Action.REUSE and run.known is not None:
                best.consider_known(run.name, Path(run.known.run_dir))
        over = threading.Event()

        def update() -> None:
            with suppress(OSError):  # the terminal is gone
                for news in session.progress.take_news():
                    best.consider(news)
                    show.run_ended(news)
                show.draw(session.progress.snapshot(), best.text())

        def loop() -> None:
            while not over.wait(_LIVE_EVERY_S):
                update()

        thread = threading.Thread(target=loop, name="argus-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=2)
            update()
            with suppress(OSError):
                show.end()

    return watch


def duration_text(seconds: float | None) -> str:
    """`1:05`, `2:03:10`, or `?` where it is not known."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def eta_text(shot: ProgressSnapshot) -> str:
    """When the end is expected; `starting` while workers and Prefect's server get ready."""
    if shot.eta_s is None and not shot.running and shot.reused == shot.done < shot.total:
        return "starting"
    return f"eta {duration_text(shot.eta_s)}"


def failure_line(news: EndedRun) -> str:
    """One line on a run that failed: which, why, where to look."""
    ending = news.outcome.ending
    if ending.resumable:
        return f"stopped: {news.run.name} ({news.run.run_id})"
    tries = f" after {news.attempts} attempts" if news.attempts > 1 else ""
    message = (ending.error_message or "").strip().splitlines()
    first = f": {message[0]}" if message and message[0] != ending.cause else ""
    return f"failed: {news.run.name}{tries}: {ending.cause}{first} ({news.run.run_id})"


def _holding(session: SweepSession, before: str = "") -> str:
    """Why no more runs start; empty where runs may start."""
    reasons = () if session.stopping else session.admission.holding
    return f"{before}holding: {'; '.join(reasons)}" if reasons else ""


def _at_the_end(shot: ProgressSnapshot, before: str = "") -> str:
    """How far Prefect's server is, and what is waited for, once that is all there is to do."""
    parts = [shot.waiting] if shot.waiting else []
    if shot.recorded is not None and shot.recorded[0] < shot.recorded[1]:
        parts.insert(0, f"Prefect's server has recorded {shot.recorded[0]} of {shot.recorded[1]}")
    return "".join(before + part for part in parts)


class _Best:
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
        self._compare(name, numbers_of(read_mapping(run_dir / METRICS_JSON)))

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


class _Plain:
    """A line for each failed run, and a line on the progress every few seconds."""

    def __init__(self, session: SweepSession) -> None:
        self._session = session
        self._last = time.monotonic()
        self._drawn: ProgressSnapshot | None = None
        self._said_wait = False
        self._best = ""

    def run_ended(self, news: EndedRun) -> None:
        if news.outcome.ending.status == FAILED:
            say(failure_line(news))

    def draw(self, snapshot: ProgressSnapshot, best: str) -> None:
        self._drawn, self._best = snapshot, best
        waits = bool(snapshot.waiting) and not self._said_wait
        if waits or time.monotonic() >= self._last + _PLAIN_EVERY_S:
            self._said_wait = self._said_wait or waits
            self._print()

    def end(self) -> None:
        self._print()

    def _print(self) -> None:
        shot = self._drawn
        if shot is None:
            return
        self._last = time.monotonic()
        stopping = ", stopping" if self._session.stopping else ""
        say(
            f"{shot.done} of {shot.total} done, {shot.running} running, {shot.failed} failed,"
            f" elapsed {duration_text(shot.elapsed_s)}"
            f"{'' if stopping else f', {eta_text(shot)}'}"
            f"{self._best and f', best {self._best}'}{stopping}{_holding(self._session, ', ')}"
            f"{_at_the_end(shot, ', ')}"
        )


class _Live:
    """A progress bar on a terminal, with failed runs in lines above it."""

    def __init__(self, session: SweepSession) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.table import Column

        self._session = session
        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            # Only this text is cut on a narrow terminal, not the bar and the count.
            TextColumn(
                "{task.fields[counts]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=Console(file=sys.stdout),
            auto_refresh=False,
            expand=True,
        )
        self._task: TaskID = self._progress.add_task(
            session.request.name, total=len(session.plan.runs), counts=""
        )
        self._progress.start()

    def run_ended(self, news: EndedRun) -> None:
        if news.outcome.ending.status == FAILED:
            console = self._progress.console
            line = failure_line(news)
            console.print(line[: console.width], style="red", markup=False, highlight=False)

    def draw(self, snapshot: ProgressSnapshot, best: str) -> None:
        running = ", ".join(snapshot.running_names[:_SHOWN_NAMES])
        more = len(snapshot.running_names) - _SHOWN_NAMES
        parts = [
            "stopping" if self._session.stopping else eta_text(snapshot),
            f"{snapshot.failed} failed" if snapshot.failed else "",
            _holding(self._session),
            f"best {best}" if best else "",
            f"running {running}{f' and {more} more' if more > 0 else ''}" if running else "",
            _at_the_end(snapshot),
        ]
        self._progress.update(
            self._task, completed=snapshot.done, counts="  ".join(part for part in parts if part)
        )
        self._progress.refresh()

    def end(self) -> None:
        self._progress.stop()
