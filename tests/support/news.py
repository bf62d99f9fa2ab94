"""Endings of runs as sessions tell them, made up."""

from __future__ import annotations

from typing import Any

from argus_tasks.planning.sweep_plan import Action, PlannedRun
from argus_tasks.runs.record.layout import FAILED, SKIPPED, SUCCEEDED
from argus_tasks.runs.record.run_record import Ending, stopped_ending
from argus_tasks.workers.attempts.messages import Outcome

STACK = """Traceback (most recent call last):
  File "/here/experiment.py", line {line}, in run
    build(model)
ValueError: {message}
"""


def planned(
    configs: list[dict[str, Any]], actions: dict[int, Action] | None = None
) -> tuple[PlannedRun, ...]:
    return tuple(
        PlannedRun(
            index,
            config,
            f"d{index}",
            f"run-{index}",
            f"run-{index}-x",
            None,
            None,
            (actions or {}).get(index, Action.RUN),
        )
        for index, config in enumerate(configs)
    )


News = tuple[PlannedRun, Outcome]


def news(run: PlannedRun, ending: Ending, stack: str = "") -> News:
    return run, Outcome(ending, stack=stack)


def succeeded(run: PlannedRun) -> News:
    return news(run, Ending(SUCCEEDED))


def skipped(run: PlannedRun) -> News:
    return news(run, Ending(SKIPPED, "skipped"))


def stopped(run: PlannedRun) -> News:
    return news(run, stopped_ending("user"))


def failed(run: PlannedRun, line: int = 7, cause: str = "ValueError", message: str = "no") -> News:
    return news(
        run, Ending(FAILED, cause, cause, message), STACK.format(line=line, message=message)
    )
