"""The default project and results root of a sweep."""

from __future__ import annotations

from pathlib import Path

from argus_tasks.provenance.project import Project


def project_folder(folder: Path) -> Path:
    """The top folder of the Git work tree that contains the folder, also where Git refuses to
    answer; without one, the working folder."""
    top = Project.of(folder).top
    return top if (top / ".git").exists() else Path.cwd()


def default_project(folder: Path) -> str:
    """The name of the project: that of the project folder."""
    return project_folder(folder).name or "project"


def default_results_root(folder: Path) -> Path:
    """The folder of the run folders: `results` in the project folder."""
    return project_folder(folder) / "results"


def results_root_here() -> Path:
    """The results root that commands read by default: `results` in the working folder, else the
    default."""
    here = Path("results")
    return here if here.is_dir() else default_results_root(Path.cwd())
