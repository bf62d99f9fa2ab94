"""Starts a Ray cluster on this machine for one sweep."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from functools import lru_cache

from argus_tasks.workers.engines.local_cluster import ClusterProcess


class LocalRay(ClusterProcess):
    """A Ray cluster with one node, and as many CPUs as runs at the same time.

    Attributes:
        environment: environment variables that a process needs to connect: they contain an access
            token.
    """

    def __init__(self, runs_at_once: int) -> None:
        self.environment = _own_token()
        super().__init__("ray", __name__, (runs_at_once, self.environment))


@lru_cache(maxsize=1)
def _own_token() -> dict[str, str]:
    # Ray reads the token once per process, so all clusters of this process share it.
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def run_cluster(
    given: tuple[int, dict[str, str]],
    scratch: str,  # noqa: ARG001 - Ray's sockets need a short path
    send: Callable[..., None],
    wait: Callable[[], None],
) -> None:
    """Run the cluster in a process of its own, as `ClusterProcess` says."""
    runs_at_once, environment = given
    os.environ.update(environment)
    import ray

    ray.init(
        address="local",
        num_cpus=runs_at_once,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    send(address=ray.get_runtime_context().gcs_address)
    wait()
    ray.shutdown()
