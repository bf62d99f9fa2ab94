"""The sweep, as a Prefect flow: open the session, map one task run a config, say how it ended."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from argus_tasks.orchestration.tasks.hooks import close_for_the_dead
from argus_tasks.orchestration.tasks.run_session import Prepared, conduct
from argus_tasks.planning.resolve import resolve
from argus_tasks.prefect_compat.task_engine import ConfigTaskRunner
from argus_tasks.session.sweep_session import SweepSession
from argus_tasks.spec.modes import Mode
from argus_tasks.spec.order import Order


# Prefect does not check the parameters: ours says which key, which value and what was expected,
# and a prepared session passes through unlooked at.
@flow(
    name="sweep",
    validate_parameters=False,
    persist_result=False,
    task_runner=ConfigTaskRunner(),  # type: ignore[arg-type]  # Prefect's own types differ
    on_cancellation=[close_for_the_dead],
    on_crashed=[close_for_the_dead],
)
def sweep(
    configs: Annotated[
        list[dict[str, Any]] | str | None,
        Field(description="A list of configs, or the path of a sweep file."),
    ] = None,
    experiment: Annotated[
        str | None,
        Field(
            description="What to run: 'package.module:function', or 'command:python x.py {key}'."
        ),
    ] = None,
    name: Annotated[str | None, Field(description="The sweep's name.")] = None,
    project: Annotated[str | None, Field(description="The project it belongs to.")] = None,
    results_root: Annotated[
        str | None, Field(description="The folder that gets a folder for each run.")
    ] = None,
    mode: Annotated[Mode | None, Field(description="How experiments are executed.")] = None,
    address: Annotated[
        str | None, Field(description="Modes dask and ray: the address of the cluster.")
    ] = None,
    workers: Annotated[int | None, Field(ge=1, description="How many run at once.")] = None,
    cpu_threshold: Annotated[
        float | None,
        Field(gt=0, le=100, description="Mode dynamic: start nothing new above this CPU percent."),
    ] = None,
    limits: Annotated[
        dict[str, Any] | None,
        Field(description='Limits on this server that configs take slots of: {"license": 2}.'),
    ] = None,
    max_attempts: Annotated[
        int | None, Field(ge=1, description="Tries for each config, the first one too.")
    ] = None,
    retry_on: Annotated[
        list[str] | None,
        Field(description="Exception classes, and causes of death, that are tried again."),
    ] = None,
    not_on: Annotated[list[str] | None, Field(description="Those that never are.")] = None,
    timeout_s: Annotated[
        float | None, Field(gt=0, description="Seconds after which an attempt is ended.")
    ] = None,
    timeout: Annotated[
        str | None, Field(description="The same as a multiple of the median duration: 5x.")
    ] = None,
    fresh_process: Annotated[
        bool | None, Field(description="A process of its own for each attempt.")
    ] = None,
    max_runs_per_worker: Annotated[
        int | None, Field(ge=1, description="Attempts after which a worker is replaced.")
    ] = None,
    order: Annotated[Order | None, Field(description="In which order configs are started.")] = None,
    max_failures: Annotated[
        int | str | None, Field(description="Stop when so many have failed: a count, or 5%.")
    ] = None,
    max_consecutive_failures: Annotated[
        int | None, Field(ge=1, description="Stop when so many have failed in a row.")
    ] = None,
    fail_fast: Annotated[bool | None, Field(description="Stop at the first failure.")] = None,
    max_runtime: Annotated[
        float | str | None, Field(description="Stop after so long: seconds, or 2h.")
    ] = None,
    breaker: Annotated[
        int | None,
        Field(ge=2, description="Hold a value back after so many failures alike with it."),
    ] = None,
    min_free_memory: Annotated[
        str | None, Field(description="Start nothing while less memory is free: 4GB, or 10%.")
    ] = None,
    gpus: Annotated[
        str | int | list[int] | None,
        Field(description="A GPU for each run: auto, a list of numbers, or 0 for none."),
    ] = None,
    slots_per_gpu: Annotated[
        int | None, Field(ge=1, description="How many runs share a GPU.")
    ] = None,
    search: Annotated[
        dict[str, Any] | None,
        Field(description="Draw configs by Optuna while the sweep runs: as in a sweep file."),
    ] = None,
    fresh: Annotated[
        bool, Field(description="A new batch; nothing that succeeded before is reused.")
    ] = False,
) -> State[Any]:
    """Run one experiment over many configs; each config is a task run and leaves a folder."""
    given: object = configs
    if isinstance(given, Prepared):
        session = given.session
    else:
        session = SweepSession(
            resolve(
                configs,
                experiment,
                name=name,
                project=project,
                results_root=results_root,
                mode=mode,
                address=address,
                workers=workers,
                cpu_threshold=cpu_threshold,
                limits=limits,
                max_attempts=max_attempts,
                retry_on=retry_on,
                not_on=not_on,
                timeout_s=timeout_s,
                timeout=timeout,
                fresh_process=fresh_process,
                max_runs_per_worker=max_runs_per_worker,
                order=order,
                max_failures=max_failures,
                max_consecutive_failures=max_consecutive_failures,
                fail_fast=fail_fast,
                max_runtime=max_runtime,
                breaker=breaker,
                min_free_memory=min_free_memory,
                gpus=gpus,
                slots_per_gpu=slots_per_gpu,
                search=search,
                fresh=fresh,
            )
        )
    return conduct(session)
