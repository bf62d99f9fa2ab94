"""Where a sweep belongs when nobody says: git's top folder, else the working folder."""

from __future__ import annotations

from pathlib import Path

from argus_tasks.base.repo import repo_of


def project_folder(folder: Path) -> Path:
    """The top folder of the git work tree that holds the folder, else the working folder."""
    repo = repo_of(folder)
    return repo.top if repo else Path.cwd()


def default_project(folder: Path) -> str:
    """The project's name: that of the home folder."""
    return project_folder(folder).name or "project"


def default_results_root(folder: Path) -> Path:
    """Where run folders go: `results` in the home folder."""
    return project_folder(folder) / "results"


def results_root_here() -> Path:
    """Where a command that reads looks: `results` in the working folder, else the default's."""
    here = Path("results")
    return here if here.is_dir() else default_results_root(Path.cwd())
