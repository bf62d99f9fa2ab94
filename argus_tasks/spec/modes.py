"""The modes: where experiments run."""

from __future__ import annotations

from typing import Literal, TypeAlias

# sequential: in the caller's process, one run at a time, without isolation; a debugger works.
# process_pool: in worker processes that are kept between runs. joblib: an older name for it.
# dynamic: as process_pool, with starts held back while the CPUs are busy.
# thread: on threads of the caller's process, without isolation, for functions that wait.
# dask, ray: in worker processes on the nodes of a cluster.
Mode: TypeAlias = Literal[
    "sequential", "process_pool", "joblib", "dynamic", "thread", "dask", "ray"
]

# The modes that run experiments in the caller's process, where a run cannot be ended from outside.
UNISOLATED: tuple[Mode, ...] = ("sequential", "thread")
# The modes that run experiments on the nodes of a cluster.
ENGINES: tuple[Mode, ...] = ("dask", "ray")
