"""What a sweep and its nodes say to each other, and how they know that they understand it."""

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
    """What holds for all runs of a sweep, wherever they run.

    Attributes:
        setup: what workers are told.
        environment: added to that of the workers.
        libraries: where the sweep's own Python has its libraries: a node has its own.
        grace_s: seconds between the TERM and the KILL of an attempt whose time is over.
        limited: attempts may have a time limit.
        max_runs: how many attempts a worker is given; None: as many as there are.
    """

    setup: Setup
    environment: Mapping[str, str]
    libraries: tuple[str, ...]
    grace_s: float
    limited: bool
    max_runs: int | None


@dataclass(frozen=True, slots=True)
class NodeSender:
    """Which sweep is asking, in values that any version of any Python can read.

    Attributes:
        sweep: this start of the sweep, unique.
        setup_file: where its `NodeSetup` is, under the results root.
        sha256: of that file.
        versions: of argus_tasks and Python, as the sweep's process has them.
        host: where that process is.
    """

    sweep: str
    setup_file: str
    sha256: str
    versions: tuple[str, str]
    host: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt to execute, once.

    Attributes:
        assignment: what is to be run.
        id: a unique id; an engine that delivers the attempt again delivers the same id.
        limit_s: how long it may take, as far as is known now.
    """

    assignment: Assignment
    id: str
    limit_s: float | None


class NodeLost(ArgusTasksError):
    """The node that was executing an attempt is gone, or has not told what became of it."""


class EngineLost(NodeLost):
    """The engine itself is gone, with all its nodes."""


def own_versions() -> tuple[str, str]:
    """Of argus_tasks, and of Python as far as pickles depend on it."""
    return version("argus-tasks"), ".".join(platform.python_version_tuple()[:2])


def own_libraries() -> tuple[str, ...]:
    """The folders that Python itself brings to `sys.path`, and those of installed packages."""
    known = sysconfig.get_paths()
    named = {known[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(sorted({*named, *site.getsitepackages(), site.getusersitepackages()}))
