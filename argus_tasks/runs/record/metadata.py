"""What is known about a run beside its config: who, where, which code (`meta.json`)."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.redact import known_secrets, redact, redact_command, redact_value
from argus_tasks.base.repo import repo_of
from argus_tasks.runs.record.host_kind import host_kind


@dataclass(slots=True)
class RunMetadata:
    """The keys of `meta.json`, all optional; what the caller leaves out is found out.

    Attributes:
        experiment_name: the experiment's name.
        group: a label to group runs by.
        tags: labels, as a dict or a list of texts.
        parent_run_id: the run that this one repeats or continues.
        attempt: which try this is, from 1.
        git_commit: HEAD's full SHA where the sweep was started.
        python_version: such as `3.11.7`.
        platform: the operating system, as `platform.platform()` says it.
        hostname: where the run executes.
        host_kind: what kind of machine that is: its system, processors and GPUs, as far as they
            decide what may be compared.
        started_cmd: the command line that started the sweep, without secrets.
        dataset_version: from the config's `dataset_version` or `data_version` unless given.
        seed: from the config's `seed` where that is an integer, unless given.
        extras: anything else.
        code: which code this is: HEAD's first twelve digits, and `+` with eight digits of a hash
            of what differs from it.
        env_snapshot: where in the results root lies what the sweep was started with.
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
        """The metadata as a dict."""
        facts = {name: getattr(self, name) for name in _NAMES}
        facts["tags"], facts["extras"] = deepcopy(self.tags), deepcopy(self.extras)
        return facts

    def to_json(self) -> dict[str, Any]:
        """The metadata as JSON without secrets: what is written and sent."""
        plain: dict[str, Any] = redact_value(to_jsonable(self.to_dict()), known_secrets())
        return plain


_NAMES = tuple(each.name for each in fields(RunMetadata))


def with_facts(given: RunMetadata | None, folder: Path) -> RunMetadata:
    """The metadata with what holds for a whole sweep filled in: asked once, not once a run."""
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
    """The metadata of one attempt: what holds for the sweep, and what its config says."""
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
