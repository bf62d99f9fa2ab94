"""A sweep as a Prefect flow: one task run a config, and a last state that says how it ended."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from argus_tasks.orchestration.tasks.hooks import close_batch_of_dead_flow
from argus_tasks.orchestration.tasks.run_session import (
    SessionParameter,
    run_request,
    run_session,
)
from argus_tasks.planning.resolve import resolve
from argus_tasks.prefect_compat.task_engine import ConfigTaskRunner
from argus_tasks.spec.options import takes_options


# Prefect does not validate the parameters: `resolve` reports key, value and what was expected, and
# a prepared session must pass through unchanged.
@flow(
    name="sweep",
    validate_parameters=False,
    persist_result=False,
    task_runner=ConfigTaskRunner(),  # type: ignore[arg-type]  # Prefect's own types differ
    on_cancellation=[close_batch_of_dead_flow],
    on_crashed=[close_batch_of_dead_flow],
)
@takes_options
def sweep(
    configs: list[dict[str, Any]] | str | None = None,
    experiment: str | None = None,
    fresh: bool = False,
    **options: Any,
) -> State[Any]:
    """Run one experiment over many configs; each config is a task run and leaves a run folder.

    Args:
        configs: A list of configs, or the path of a sweep file.
        experiment: What to run: `package.module:function`, or `command:python x.py {key}`.
        fresh: A new batch; nothing that succeeded before is reused.
    """
    given: object = configs
    if isinstance(given, SessionParameter):
        return run_session(given)
    return run_request(resolve(configs, experiment, fresh=fresh, **options))
