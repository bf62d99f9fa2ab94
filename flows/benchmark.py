"""The nightly benchmark as a Prefect flow: a fresh sweep, its comparison with a baseline, and a
second run of the cells that look worse before the flow run fails."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from argus_tasks.base.clock import utc_now
from argus_tasks.flows.call import call_sweep
from argus_tasks.orchestration.nightly.missed_slots import SKIPPED_STATE, why_skip
from argus_tasks.orchestration.nightly.night import (
    Night,
    conclude,
    dated,
    judge,
    only_worse,
    stopped_state,
    terms_of,
)
from argus_tasks.orchestration.tasks.run_session import loaded_session
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.resolve import resolve
from argus_tasks.session.sweep_session import SweepSession


@flow(name="benchmark", validate_parameters=False, persist_result=False)
def benchmark_flow(
    spec: Annotated[str, Field(description="The path of a sweep file that has `repeats`.")],
    baseline: Annotated[str, Field(description="The name of the baseline.")] = "nightly",
    metric: Annotated[
        str | None, Field(description="The metric to compare; by default the first.")
    ] = None,
    direction: Annotated[
        str | None, Field(description="min or max; by default guessed from the metric's name.")
    ] = None,
    min_effect: Annotated[
        str, Field(description="Smaller changes are ignored: 2%, or 0.01 in the metric's unit.")
    ] = "2%",
    allow: Annotated[
        list[str] | None,
        Field(description="What may differ from the baseline's: host, data, code."),
    ] = None,
    move_baseline: Annotated[
        bool, Field(description="Make this the baseline if there is none, or if it is better.")
    ] = False,
    results_root: Annotated[
        str | None, Field(description="The folder that gets a folder for each run.")
    ] = None,
    workers: Annotated[
        int | None, Field(ge=1, description="How many runs execute at once.")
    ] = None,
) -> State[Any]:
    """Run a sweep as a new batch and compare it with a baseline.

    The flow run fails with the state name Regression if cells are worse, and a second run of those
    cells is worse, too.
    """
    made_up_for = why_skip()
    if made_up_for:
        return Completed(name=SKIPPED_STATE, message=made_up_for)
    resolved = resolve(spec, results_root=results_root, workers=workers, fresh=True)
    request = dated(resolved, utc_now())
    terms = terms_of(
        request.results_root,
        baseline,
        metric,
        direction,
        min_effect,
        allow or (),
        move_baseline=move_baseline,
    )
    session = _sweep(request)
    if session.stopping:
        return stopped_state(session)
    first = judge(request, terms)
    again = None
    if first is not None and first.worse:
        second = only_worse(request, first)
        confirming = _sweep(second)
        if confirming.stopping:
            return stopped_state(confirming)
        again = judge(second, terms, first)
    return conclude(Night(session, terms, first, again))


def _sweep(request: SweepRequest) -> SweepSession:
    """Run it as a flow run beneath this one."""
    with loaded_session(request) as session:
        call_sweep(session)
    return session
