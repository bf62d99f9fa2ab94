"""The modes: where experiments run."""

from __future__ import annotations

from typing import Literal, TypeAlias

# sequential: in the caller's process, one at a time: a debugger works, nothing is isolated.
# process_pool: in warm worker processes. joblib: the older name for the same.
# dynamic: the same, held back by the machine's load.
# thread: on threads of the caller's process, for functions that wait; nothing is isolated.
# dask, ray: in worker processes on the nodes of such a cluster.
Mode: TypeAlias = Literal[
    "sequential", "process_pool", "joblib", "dynamic", "thread", "dask", "ray"
]

# Those that run experiments in the caller's own process, where nothing can be ended from outside.
UNISOLATED: tuple[Mode, ...] = ("sequential", "thread")
# Those that run them on a cluster's nodes.
ENGINES: tuple[Mode, ...] = ("dask", "ray")
