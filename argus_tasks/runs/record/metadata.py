"""A run's metadata (`meta.json`): who started it, on which machine, from which code."""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.redact import known_secrets, redact, redact_command, redact_value
from argus_tasks.base.repo import repo_of

_PROCESSOR = re.compile(r"^(?:model name|Model)\s*:\s*(.+)$", re.MULTILINE)
_GPUS = "/proc/driver/nvidia/gpus"


@dataclass(slots=True)
class RunMetadata:
    """The keys of `meta.json`, all optional; what is None is filled in where it can be found out.

    Examples:
        >>> from argus_tasks import RunMetadata
        >>> meta = RunMetadata(experiment_name="baseline", tags=["paper"], seed=7)
        >>> meta.to_dict()["tags"]
        ['paper']

    Attributes:
        experiment_name: the experiment's name.
        group: a label to group runs by.
        tags: labels, as a dict or a list of strings.
        parent_run_id: the run that this one repeats or continues.
        attempt: the number of the attempt, from 1.
        git_commit: the full SHA of git's HEAD where the sweep was started.
        python_version: such as `3.11.7`.
        platform: the operating system, as `platform.platform()` returns it.
        hostname: the machine on which the run executes.
        host_kind: the kind of that machine: system, processors and GPUs. Times are compared only
            between machines of one kind.
        started_cmd: the command line that started the sweep, without secrets.
        dataset_version: by default the config's `dataset_version` or `data_version`.
        seed: by default the config's `seed` where that is an integer.
        extras: anything else.
        code: the code's version: the first twelve digits of git's HEAD, and where files differ from
            it, `+` and eight digits of a hash of the differences.
        env_snapshot: the path, below the results root, of the snapshot of the environment that the
            sweep was started in.
    """

    experiment_name: str | None = None
    group: str | None = None
    tags: dict[str, str] | list[str] | None = None
    parent_run_id: str | None = None
    attempt: int | None = None
    git_commit: str | None = None
    python_version: str | None = None
    platform: str | None = None
    hostname: str | None = None
    host_kind: str | None = None
    started_cmd: str | None = None
    dataset_version: str | None = None
    seed: int | None = None
    extras: dict[str, Any] | None = None
    code: str | None = None
    env_snapshot: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The metadata as a dict.

        Returns:
            Every attribute by its name; the caller may change the copy.
        """
        facts = {name: getattr(self, name) for name in _NAMES}
        facts["tags"], facts["extras"] = deepcopy(self.tags), deepcopy(self.extras)
        return facts

    def to_json(self) -> dict[str, Any]:
        """The metadata as it is written to `meta.json` and sent to the monitor.

        Returns:
            JSON values by attribute name, with secrets removed.
        """
        plain: dict[str, Any] = redact_value(to_jsonable(self.to_dict()), known_secrets())
        return plain


_NAMES = tuple(each.name for each in fields(RunMetadata))


def with_facts(given: RunMetadata | None, folder: Path) -> RunMetadata:
    """The metadata with git commit, host and Python version filled in, once for a whole sweep."""
    meta = replace(given) if given is not None else RunMetadata()
    repo = repo_of(folder)
    meta.git_commit = meta.git_commit or (repo.sha if repo else None)
    meta.python_version = meta.python_version or platform.python_version()
    meta.platform = meta.platform or platform.platform()
    meta.hostname = meta.hostname or socket.gethostname()
    meta.host_kind = meta.host_kind or host_kind()
    given_cmd = meta.started_cmd
    meta.started_cmd = redact(given_cmd, known_secrets()) if given_cmd else _command()
    meta.extras = dict(meta.extras or {})
    return meta


def for_run(shared: RunMetadata, config: Mapping[str, Any], attempt: int) -> RunMetadata:
    """The metadata of one attempt: the sweep's, with seed and dataset version of its config."""
    version = shared.dataset_version or config.get("dataset_version") or config.get("data_version")
    seed = shared.seed
    if seed is None:
        given = config.get("seed")
        seed = given if isinstance(given, int) and not isinstance(given, bool) else None
    return replace(
        shared,
        attempt=attempt,
        dataset_version=str(version) if version else None,
        seed=seed,
        extras=dict(shared.extras or {}),
    )


def _command() -> str:
    words = [os.path.basename(sys.argv[0]), *sys.argv[1:]] if sys.argv else []  # noqa: PTH119
    return redact_command(words)


@lru_cache(maxsize=1)
def host_kind() -> str:
    """A text such as `Linux x86_64, AMD EPYC 7B13, 2 CPUs, 1x NVIDIA A100`.

    It has no host name, address or kernel version: identical machines are of one kind.
    """
    parts = [f"{platform.system()} {platform.machine()}"]
    processor = _named("/proc/cpuinfo") or platform.processor()
    if processor and processor != platform.machine():
        parts.append(processor)
    parts.append(f"{os.cpu_count() or 1} CPUs")
    gpus = [_named(str(path)) or "GPU" for path in sorted(Path(_GPUS).glob("*/information"))]
    parts += [f"{gpus.count(name)}x {name}" for name in dict.fromkeys(gpus)]
    return ", ".join(parts)


def _named(path: str) -> str | None:
    try:
        found = _PROCESSOR.search(Path(path).read_text(errors="replace"))
    except OSError:
        return None
    return " ".join(found[1].split()) if found else None
