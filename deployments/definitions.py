"""The definitions of the deployments, for serving them and for a work pool."""

from __future__ import annotations

from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
)
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from argus_tasks.flows.benchmark import benchmark_flow
from argus_tasks.flows.sweep import sweep

# With this, `--param configs='[...]'` alone runs a real experiment.
DEFAULT_EXPERIMENT = "examples/forecast/experiment.py:run"

# The nightly benchmark's sweep, baseline and schedule. deployments/prefect.yaml has the same.
NIGHTLY_SPEC = "examples/forecast/nightly.yaml"
NIGHTLY_BASELINE = "nightly"
NIGHTLY_CRON = "0 2 * * *"
NIGHTLY_TIMEZONE = "UTC"


def sweep_default() -> RunnerDeployment:
    """`sweep/default`: a sweep that gets its parameters when it is run."""
    deployment = sweep.to_deployment(
        name="default",
        description="Run an experiment over a list of configs or a sweep file.",
        parameters={"experiment": DEFAULT_EXPERIMENT},
        # By module, not by file: one flow object under one name, whatever lies in the folder.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(deployment, RunnerDeployment)
    return deployment


def benchmark_nightly(*, active: bool = False) -> RunnerDeployment:
    """`benchmark/nightly`: a benchmark with a schedule, which is off unless `active`.

    Only one runs at a time: a scheduled run that comes due meanwhile is cancelled.
    """
    deployment = benchmark_flow.to_deployment(
        name="nightly",
        description="Run a benchmark afresh and compare it with a baseline.",
        parameters={"spec": NIGHTLY_SPEC, "baseline": NIGHTLY_BASELINE},
        schedules=[Cron(NIGHTLY_CRON, timezone=NIGHTLY_TIMEZONE, active=active, slug="nightly")],
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
        ),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(deployment, RunnerDeployment)
    return deployment
