"""Git's state of a folder. Cached, so that git is called once a sweep and not once a run."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

COMMIT_DIGITS = 12
"""How many digits of a commit's SHA identify it."""
_SWEEPS = "/.sweep/"
_LARGEST_FILE = 1_000_000
_MOST_FILES = 1_000


@dataclass(frozen=True)
class Repo:
    """A git work tree: its top folder, HEAD's full SHA, the branch, and whether files differ.

    `changes` are the lines of `git status --porcelain`.
    """

    top: Path
    sha: str
    branch: str
    dirty: bool
    changes: tuple[str, ...] = ()


@lru_cache(maxsize=8)
def repo_of(folder: Path) -> Repo | None:
    """The work tree that holds the folder; None without git, outside of one, or before a commit."""
    said = _git(folder, "rev-parse", "--show-toplevel", "HEAD", "--abbrev-ref", "HEAD")
    if not said:
        return None
    top, sha, branch = said.splitlines()[:3]
    changes = _changes(Path(top))
    return Repo(Path(top), sha, branch, bool(changes), changes)


def refusal_of(top: Path) -> str:
    """What to do where git refuses to answer for a work tree, since another user owns it, as in a
    container; empty where it does not."""
    words = ("git", "-C", str(top), "rev-parse", "HEAD")
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    if "dubious ownership" not in done.stderr:
        return ""
    return (
        f"git refuses to answer for {top}, which another user owns, so no commit is recorded; to"
        f" allow it: git config --global --add safe.directory {top}"
    )


def forget_repos() -> None:
    """Clear the caches, because the code may have changed since the last sweep."""
    repo_of.cache_clear()
    _changes.cache_clear()
    code_of.cache_clear()


@lru_cache(maxsize=8)
def code_of(folder: Path, leave_out: Path | None = None) -> str | None:
    """The version of the code in a git work tree: twelve digits of HEAD, and where files differ
    from it, `+` and eight digits of a hash of the differences.

    They are `git diff HEAD` and the untracked Python files, those under `leave_out` excepted. None
    without git.
    """
    repo = repo_of(folder)
    if repo is None:
        return None
    short = repo.sha[:COMMIT_DIGITS]
    hashed = hashlib.sha256()
    differs = False
    if any(not line.startswith("??") for line in repo.changes):
        diff = diff_of(repo)
        hashed.update(diff.encode("utf-8", "replace"))
        differs = bool(diff)
    for path in untracked_files(repo, leave_out):
        if path.suffix == ".py":
            hashed.update(f"\n{path.relative_to(repo.top)}\n".encode())
            hashed.update(path.read_bytes())
            differs = True
    return f"{short}+{hashed.hexdigest()[:8]}" if differs else short


def diff_of(repo: Repo) -> str:
    """`git diff HEAD` of the whole work tree."""
    return _git(repo.top, "diff", "HEAD", "--no-color", "--no-ext-diff") or ""


def untracked_files(repo: Repo, leave_out: Path | None = None) -> list[Path]:
    """The files that git neither tracks nor ignores, those under `leave_out`, under any folder
    that holds a `.sweep` (a results root), and large ones excepted; the first thousand."""
    asked = [_untracked(repo, line) for line in repo.changes if line.startswith("??")]
    if leave_out is not None:
        asked = [path for path in asked if not path.is_relative_to(leave_out)]
    if not asked:
        return []
    words = ["ls-files", "--others", "--exclude-standard", "-z", "--"]
    said = _git(repo.top, *words, *[str(path) for path in asked]) or ""
    names = [name for name in said.split("\0") if name]
    results = tuple({name[: name.index(_SWEEPS) + 1] for name in names if _SWEEPS in name})
    found = []
    for name in names:
        path = repo.top / name
        if name.startswith(results) or (leave_out is not None and path.is_relative_to(leave_out)):
            continue
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST_FILE:
            found.append(path)
            if len(found) == _MOST_FILES:
                break
    return found


def _untracked(repo: Repo, line: str) -> Path:
    return repo.top / line[3:].strip('"').rstrip("/")


@lru_cache(maxsize=8)
def _changes(top: Path) -> tuple[str, ...]:
    return tuple(
        (_git(top, "-c", "core.quotePath=off", "status", "--porcelain") or "").splitlines()
    )


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
