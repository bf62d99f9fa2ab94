"""The deployments, as both ways of running them use them."""

from __future__ import annotations

from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from argus_tasks.flows.sweep import sweep

# So that `--param configs='[...]'` alone runs something real.
DEFAULT_EXPERIMENT = "examples/forecast/experiment.py:run"


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
