"""The deployments, as both ways of running them use them."""

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

# So that `--param configs='[...]'` alone runs something real.
DEFAULT_EXPERIMENT = "examples/forecast/experiment.py:run"

# What runs at night, when, and what it is compared with. deployments/prefect.yaml says the same.
NIGHTLY_SPEC = "examples/forecast/nightly.yaml"
NIGHTLY_BASELINE = "nightly"
NIGHTLY_CRON = "0 2 * * *"
NIGHTLY_TIMEZONE = "UTC"


def sweep_default() -> RunnerDeployment:
    """`sweep/default`: a sweep whose parameters are given when it is run."""
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

    One at a time: what comes due while one runs is cancelled, and does not pile up.
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
