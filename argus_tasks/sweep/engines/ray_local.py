"""Ray on this machine, for one sweep."""

from __future__ import annotations

import logging
from collections.abc import Callable

from argus_tasks.sweep.engines.local_host import LocalHost


class LocalRay(LocalHost):
    """One node, with as many CPUs as there are runs at once."""

    def __init__(self, runs_at_once: int) -> None:
        super().__init__("ray", __name__, runs_at_once)


def run_cluster(
    given: int,
    scratch: str,  # noqa: ARG001 - Ray's sockets need a short path
    tell: Callable[..., None],
    wait: Callable[[], None],
) -> None:
    """In the cluster's own process: see `LocalHost`."""
    import ray

    ray.init(
        address="local",
        num_cpus=given,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    tell(address=ray.get_runtime_context().gcs_address)
    wait()
    ray.shutdown()
