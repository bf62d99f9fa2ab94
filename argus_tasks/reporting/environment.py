"""What is running: project, host, user, commit, command and packages, with secrets masked."""

from __future__ import annotations

import platform
import socket
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from argus_tasks.base.processes import user_name
from argus_tasks.base.redact import known_secrets, redact, redact_command
from argus_tasks.base.repo import Repo, repo_of
from argus_tasks.delivery.events import Source


def working_folder() -> Path:
    """The working folder; `/` where it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def default_project() -> str:
    """The name of git's top folder; without git, of the working folder."""
    folder = working_folder()
    repo = repo_of(folder)
    return (repo.top if repo else folder).name or "unnamed"


def command_line(given: str | Sequence[str] | None = None) -> str:
    """The command line of this process, or the given one, without secrets."""
    if isinstance(given, str):
        return redact(given, known_secrets())
    return redact_command(list(given) if given is not None else sys.orig_argv)


def source(project: str | None, command: str | None) -> Source:
    """The `source` of this process's events. `commit` is the first 12 digits of the SHA."""
    repo = repo_of(working_folder())
    return Source(
        project=project or default_project(),
        host=socket.gethostname(),
        user=user_name(),
        commit=repo.sha[:12] if repo else None,
        command=command_line(command),
    )


def snapshot(command: str | None = None) -> dict[str, Any]:
    """The data of `env_snapshot`: code, Python, packages, command. It takes about 0.1 s."""
    repo: Repo | None = repo_of(working_folder())
    return {
        "git_sha": repo.sha if repo else None,
        "git_branch": repo.branch if repo else None,
        "git_dirty": repo.dirty if repo else None,
        "python_version": platform.python_version(),
        "pip_freeze": packages(),
        "hostname": socket.gethostname(),
        "command": command_line(command),
        "cwd": str(working_folder()),
    }


def packages() -> list[str]:
    """The installed packages, sorted: `name==version`, and the URL where one was given."""
    try:
        return _installed()
    except Exception:  # noqa: BLE001 - broken metadata of one package must not cost the snapshot
        return []


def _installed() -> list[str]:
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if not name or name.lower() in found:
            continue
        origin = _origin(distribution)
        found[name.lower()] = f"{name}=={distribution.version}" + (f" @ {origin}" if origin else "")
    return sorted(found.values(), key=str.lower)


def _origin(distribution: metadata.Distribution) -> str:
    text = distribution.read_text("direct_url.json")
    if not text:
        return ""
    import json

    try:
        return redact(str(json.loads(text).get("url", "")))
    except (ValueError, AttributeError):
        return ""
