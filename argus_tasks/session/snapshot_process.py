"""The process that gathers what a sweep was started with: see `session.environment_snapshot`."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from argus_tasks.base.redact import known_secrets, redact
from argus_tasks.base.repo import Repo, code_of, diff_of, repo_of, untracked_files
from argus_tasks.base.secret_names import names_a_secret
from argus_tasks.reporting.environment import packages

LONGEST_DIFF = 1_000_000
LARGEST_FILE = 100_000
ALL_FILES = 1_000_000
# What people write by hand: data and keys are not copied.
_SUFFIXES = frozenset({".py", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".sh", ".md", ".txt"})


def main(given: Mapping[str, Any]) -> None:
    """Print what there is as JSON."""
    os.nice(19)
    sys.stdout.write(json.dumps(gathered(given), ensure_ascii=True))


def gathered(given: Mapping[str, Any]) -> dict[str, Any]:
    """`environment` and `event` (facts), `diff` (text), `untracked` (text by path); no secrets."""
    folder, leave_out = Path(given["folder"]), Path(given["leave_out"])
    repo = repo_of(folder)
    secrets = known_secrets()
    diff = redact(diff_of(repo), secrets) if repo else ""
    untracked = _untracked(repo, leave_out, secrets) if repo else {}
    installed = packages()
    event = {
        "git_sha": repo.sha if repo else None,
        "git_branch": repo.branch if repo else None,
        "git_dirty": repo.dirty if repo else None,
        "python_version": platform.python_version(),
        "pip_freeze": installed,
        "hostname": socket.gethostname(),
        "command": given["command"],
        "cwd": str(folder),
    }
    environment = event | {
        "code": code_of(folder, leave_out),
        "git_top": str(repo.top) if repo else None,
        "diff_cut": len(diff) > LONGEST_DIFF,
        "platform": platform.platform(),
        "python": sys.executable,
        "cpus": os.cpu_count(),
    }
    return {
        "environment": environment,
        "event": event,
        "diff": diff[:LONGEST_DIFF],
        "untracked": untracked,
    }


def _untracked(repo: Repo, leave_out: Path, secrets: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    left = ALL_FILES
    for path in untracked_files(repo, leave_out):
        size = path.stat().st_size
        if path.suffix not in _SUFFIXES or names_a_secret(path.stem) or size > LARGEST_FILE:
            continue
        if size > left:
            break
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        left -= size
        found[path.relative_to(repo.top).as_posix()] = redact(text, secrets)
    return found
