"""What git knows of a folder. Asked once a sweep, never once a run."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Repo:
    """A git work tree: its top folder, HEAD's full SHA, the branch, and whether files differ."""

    top: Path
    sha: str
    branch: str
    dirty: bool


@lru_cache(maxsize=8)
def repo_of(folder: Path) -> Repo | None:
    """The work tree that holds the folder; None without git, outside of one, or before a commit."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    sha = _git(folder, "rev-parse", "HEAD")
    if not top or not sha:
        return None
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD") or ""
    return Repo(Path(top), sha, branch, bool(_git(folder, "status", "--porcelain")))


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
