"""Starts a dask cluster on this machine for one sweep."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from argus_tasks.workers.engines.local_cluster import ClusterProcess

_NODES = 2
_END_S = 5.0


class LocalDask(ClusterProcess):
    """A dask cluster with at most two dask workers, and as many threads as runs at the same time.

    It listens on the loopback address only.

    Attributes:
        security: the credentials that a client needs; nobody can connect without them.
    """

    def __init__(self, runs_at_once: int) -> None:
        from distributed import Security

        self.security: Any = Security.temporary()  # type: ignore[no-untyped-call]
        super().__init__("dask", __name__, (runs_at_once, self.security))


def run_cluster(
    given: tuple[int, Any], scratch: str, send: Callable[..., None], wait: Callable[[], None]
) -> None:
    """Run the cluster in a process of its own, as `ClusterProcess` says."""
    from distributed import LocalCluster

    runs_at_once, security = given
    nodes = min(_NODES, runs_at_once)
    cluster: Any = LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=nodes,
        threads_per_worker=-(-runs_at_once // nodes),
        host="127.0.0.1",
        dashboard_address=None,
        memory_limit=0,
        local_directory=scratch,
        security=security,
        silence_logs=logging.CRITICAL,
    )
    send(address=cluster.scheduler_address)
    wait()
    cluster.close(timeout=_END_S)
