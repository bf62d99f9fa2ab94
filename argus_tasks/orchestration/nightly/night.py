"""One night of a benchmark: a fresh batch, its verdict, and what the flow run ends as."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed

from argus_tasks.base.errors import ArgusTasksError, BadInput
from argus_tasks.base.files import write_json
from argus_tasks.base.ids import canonical_json, slug
from argus_tasks.orchestration.prefect_artifacts.sweep_artifacts import report_words, show_verdict
from argus_tasks.planning.request import SweepRequest
from argus_tasks.results.compare.baselines import (
    baseline_names,
    check_baseline,
    read_baseline,
    set_baseline,
)
from argus_tasks.results.compare.comparison_text import (
    cell_names,
    comparison_lines,
    json_value,
    sentence,
)
from argus_tasks.results.compare.sides import batch_side, cell_config
from argus_tasks.results.compare.verdict import Cell, Comparison, Verdict, compare
from argus_tasks.results.read.direction import Direction
from argus_tasks.results.stats.min_effect import MinEffect, min_effect_of
from argus_tasks.runs.ledger.summary import SweepFailed
from argus_tasks.runs.record.layout import SWEEP_FOLDER
from argus_tasks.session.sweep_session import SweepSession

VERDICT_JSON = "verdict.json"


class Regression(ArgusTasksError):
    """A benchmark is worse than its baseline, and a second run has said so, too."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a night is compared with, and how; see `results.compare.verdict.compare`."""

    baseline: str
    metric: str | None
    direction: Direction | None
    min_effect: MinEffect
    allow: tuple[str, ...]
    move_baseline: bool


def terms_of(
    root: Path,
    baseline: str,
    metric: str | None,
    direction: Any,
    min_effect: str | float,
    allow: Collection[str],
    *,
    move_baseline: bool,
) -> Terms:
    """The terms, checked before the night begins. Errors: BadInput."""
    if direction not in (None, "min", "max"):
        raise BadInput(f"direction is {direction!r}; expected min or max.")
    terms = Terms(
        baseline, metric, direction, min_effect_of(min_effect), tuple(allow), move_baseline
    )
    check_baseline(root, baseline, may_make=move_baseline)
    if baseline in baseline_names(root):
        side = read_baseline(root, baseline).side
        compare(side, side, metric, direction, terms.min_effect, allow=terms.allow)
    return terms


def dated(request: SweepRequest, now: datetime) -> SweepRequest:
    """The request as a batch of its own of this moment, with nothing reused.

    It has a name of its own too: the sweep by itself must not take it up.
    """
    if request.search is not None:
        raise BadInput("search draws other configs each night; expected a sweep of fixed ones.")
    name = f"{request.name}-benchmark"
    batch_id = f"{slug(name, 60)}-{now:%Y%m%d-%H%M%S}-{token_hex(3)}"
    return replace(request.with_options(name=name), batch_id=batch_id, fresh=True)


def only_worse(request: SweepRequest, first: Comparison) -> SweepRequest:
    """The request for the cells that looked worse alone, as a batch beside the first."""
    keys = {cell.key for cell in first.worse}
    configs = tuple(
        config
        for config in request.configs
        if canonical_json(cell_config(config, first.ignore_keys)) in keys
    )
    return replace(
        request.with_options(name=f"{request.name}-confirmation"),
        batch_id=f"{request.batch_id}-confirm-{token_hex(3)}",
        configs=configs,
    )


def judge(
    request: SweepRequest, terms: Terms, first: Comparison | None = None
) -> Comparison | None:
    """The request's batch beside the baseline, which is logged.

    Args:
        request: the night, or the second run of what looked worse in it.
        terms: what it is compared with.
        first: for a second run, the comparison of the night.

    Returns:
        None where the night has no such baseline yet.
    """
    root = request.results_root
    if first is None and terms.baseline not in baseline_names(root):
        return None
    before = read_baseline(root, terms.baseline).side
    if first is not None:
        before = before.only({cell.key for cell in first.worse}, first.ignore_keys)
    found = compare(
        before,
        batch_side(root, str(request.batch_id)),
        terms.metric,
        terms.direction,
        terms.min_effect,
        allow=terms.allow,
    )
    get_run_logger().info("%s", "\n".join(comparison_lines(found)))
    return found


@dataclass(frozen=True, slots=True)
class Night:
    """What a night came to.

    Attributes:
        session: the sweep.
        terms: what it was compared with, and how.
        first: the comparison; None without a baseline.
        again: the comparison of the second run; None where nothing looked worse.
    """

    session: SweepSession
    terms: Terms
    first: Comparison | None
    again: Comparison | None

    @property
    def confirmed(self) -> tuple[Cell, ...]:
        """The cells that were worse both times."""
        return self.again.worse if self.again else ()


def conclude(night: Night) -> State[Any]:
    """Write the verdict beside the batch, move the baseline where asked, and return the state.

    Failed, named Regression: confirmed worse. Failed, named NotComparable: nothing could be
    compared. Failed: configs failed. Completed, named NoBaseline or Better; else Completed.
    """
    root, batch_id = night.session.request.results_root, str(night.session.request.batch_id)
    message = _message(night)
    write_json(
        root / SWEEP_FOLDER / batch_id / VERDICT_JSON,
        {
            "schema_version": 1,
            "message": message,
            "baseline": night.terms.baseline,
            "confirmed": [dict(cell.config) for cell in night.confirmed],
            "comparison": json_value(night.first) if night.first else None,
            "confirmation": json_value(night.again) if night.again else None,
        },
    )
    lines = comparison_lines(night.first) if night.first else []
    show_verdict(night.session.request.name, message, lines, report_words(root, batch_id))
    summary = night.session.summary()
    if night.confirmed:
        return Failed(name="Regression", message=message, data=Regression(message))
    if not summary.ok:
        return Failed(message=f"{summary.sentence()}; {message}", data=SweepFailed(summary))
    if night.first is None:
        return Completed(name="NoBaseline", message=_offered(night, message))
    if night.first.verdict is Verdict.NOT_COMPARABLE:
        return Failed(name="NotComparable", message=message, data=ArgusTasksError(message))
    if night.first.verdict is Verdict.BETTER:
        return Completed(name="Better", message=_offered(night, message))
    return Completed(message=message)


def stopped_state(session: SweepSession) -> State[Any]:
    """The end of a night that was stopped: no verdict."""
    return Cancelled(message=f"stopped by {session.stopped_by}: {session.summary().sentence()}")


def _message(night: Night) -> str:
    if night.first is None:
        batch_id = night.session.request.batch_id
        return f"no baseline {night.terms.baseline!r} yet; this is batch {batch_id}"
    if night.again is None:
        return sentence(night.first)
    names = cell_names(night.first)
    if night.confirmed:
        again = ", ".join(names[cell.key] for cell in night.confirmed)
        return f"{sentence(night.first)}; confirmed by a second run: {again}"
    looked = ", ".join(names[cell.key] for cell in night.first.worse)
    return f"looked worse and was not confirmed by a second run: {looked}"


def _offered(night: Night, message: str) -> str:
    """The message with the baseline moved, or with how to move it."""
    root, batch_id = night.session.request.results_root, str(night.session.request.batch_id)
    name = night.terms.baseline
    if night.terms.move_baseline:
        set_baseline(root, name, batch_side(root, batch_id), move=True)
        return f"{message}; it is the baseline {name!r} now"
    move = " --move" if night.first is not None else ""
    return (
        f"{message}; to make it the baseline: argus-tasks baseline set {name} {batch_id}{move}"
        f" --results-root {root}"
    )
