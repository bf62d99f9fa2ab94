"""The messages between a sweep and the nodes of a cluster, and the check that versions match."""

from __future__ import annotations

import platform
import site
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from argus_tasks.base.errors import ArgusTasksError
from argus_tasks.workers.attempts.messages import Assignment
from argus_tasks.workers.isolation.protocol import Setup


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """What holds for all runs of a sweep, on any node.

    Attributes:
        setup: the setup of the workers.
        environment: added to the environment of the workers.
        libraries: the folders of the Python libraries of the sweep's process; a node uses its own.
        grace_s: the time in seconds from the TERM to the KILL of an attempt that reached its time
            limit.
        limited: whether attempts may have a time limit.
        max_runs: the number of attempts after which a worker is replaced; None for no limit.
    """

    setup: Setup
    environment: Mapping[str, str]
    libraries: tuple[str, ...]
    grace_s: float
    limited: bool
    max_runs: int | None


@dataclass(frozen=True, slots=True)
class NodeSender:
    """The sweep that sends a request, in values that any version of Python can read.

    Attributes:
        sweep: a unique id of this session.
        setup_file: the path of its `NodeSetup`, under the results root.
        sha256: the hash of that file.
        versions: the versions of argus_tasks and Python in the sweep's process.
        host: the host of that process.
    """

    sweep: str
    setup_file: str
    sha256: str
    versions: tuple[str, str]
    host: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """An assignment as it is sent to a node, to be executed at most once.

    Attributes:
        assignment: the attempt.
        id: a unique id; an engine that delivers the assignment again delivers the same id.
        limit_s: the time limit in seconds as it is now known; None without one.
    """

    assignment: Assignment
    id: str
    limit_s: float | None


class NodeLost(ArgusTasksError):
    """The node that executed an attempt is gone, or has not returned its outcome."""


class EngineLost(NodeLost):
    """The engine is gone, with all its nodes."""


def own_versions() -> tuple[str, str]:
    """The version of argus_tasks, and that of Python as far as pickles depend on it."""
    return version("argus-tasks"), ".".join(platform.python_version_tuple()[:2])


def own_libraries() -> tuple[str, ...]:
    """The folders of Python's own libraries and of installed packages."""
    known = sysconfig.get_paths()
    named = {known[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(sorted({*named, *site.getsitepackages(), site.getusersitepackages()}))
