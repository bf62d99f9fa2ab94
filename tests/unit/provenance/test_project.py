"""Projects, and which experiment is which."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from argus_tasks.provenance.project import ExperimentMark, Move, Project


def git(folder: Path, *words: str) -> None:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(folder)}
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, env=environment
    )


def project(folder: Path, text: str = "def run(): ...\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(text)
    return folder


def repository(folder: Path, text: str = "def run(): ...\n") -> Path:
    project(folder, text)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "x")
    return folder


def mark(folder: Path, name: str = "train.py", qualname: str = "run") -> ExperimentMark:
    return ExperimentMark.of(Project.of(folder), folder / name, qualname)


def test_the_top_is_the_nearest_folder_with_git_in_it(tmp_path: Path) -> None:
    top = repository(tmp_path / "a")
    project(top / "b" / "c")
    assert Project.of(top / "b" / "c").top == top
    assert mark(top / "b" / "c").entry == "b/c/train.py"
    assert mark(top / "b" / "c").identity == "b/c/train.py:run"


def test_two_files_of_one_repository_are_two_experiments(tmp_path: Path) -> None:
    top = repository(tmp_path / "a")
    project(top / "baseline", "def run(): return 1\n")
    project(top / "ours", "def run(): return 2\n")
    first, second = mark(top / "baseline"), mark(top / "ours")
    assert first.identity != second.identity
    assert first.match(second) == "other"
    assert first.match(mark(top / "baseline", qualname="run")) == "same"


def test_another_function_of_the_file_is_another_experiment(tmp_path: Path) -> None:
    folder = project(tmp_path / "a")
    assert mark(folder).match(mark(folder, qualname="other")) == "other"


def test_clones_and_work_trees_are_one_project(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin")
    git(tmp_path, "clone", "-q", str(origin), "one")
    git(tmp_path, "clone", "-q", str(origin), "two")
    git(tmp_path / "one", "worktree", "add", "-q", "../tree")
    for other in ("two", "tree"):
        (tmp_path / other / "train.py").write_text("def run(): return 2\n")
    assert mark(tmp_path / "one").match(mark(tmp_path / "two")) == "same"
    assert mark(tmp_path / "one").match(mark(tmp_path / "tree")) == "same"


def test_two_repositories_with_the_same_names_are_two_experiments(tmp_path: Path) -> None:
    first = mark(repository(tmp_path / "a"))
    second = mark(repository(tmp_path / "b", "def run(): return 2\n"))
    assert first.identity == second.identity
    assert first.match(second) == "other"


def test_a_repository_that_was_moved_and_edited_stays_the_experiment(tmp_path: Path) -> None:
    first = mark(repository(tmp_path / "a"))
    shutil.move(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "train.py").write_text("def run(): return 2\n")
    assert first.match(mark(tmp_path / "b")) == "same"


def test_without_git_another_top_with_another_entry_is_another_experiment(tmp_path: Path) -> None:
    first = mark(project(tmp_path / "a"))
    assert first.match(mark(project(tmp_path / "b"))) == "same"
    assert first.match(mark(project(tmp_path / "c", "def run(): return 2\n"))) == "other"


def test_git_that_refuses_changes_nothing(tmp_path: Path) -> None:
    folder = repository(tmp_path / "a")
    (folder / ".git" / "config").write_text("[core\nthis is broken")
    assert mark(folder).entry == "train.py"
    assert Project.of(folder).repository


def test_an_address_is_kept_without_its_login(tmp_path: Path) -> None:
    folder = repository(tmp_path / "a")
    git(folder, "remote", "add", "origin", "https://me:abcdefgh@example.org/x.git")
    assert Project.of(folder).repository == "https://example.org/x.git"


def test_a_mark_survives_its_record(tmp_path: Path) -> None:
    first = mark(project(tmp_path / "a"))
    assert ExperimentMark.from_record(first.to_record()) == first


@pytest.mark.parametrize(
    ("before", "after", "name", "now"),
    [
        ("train.py", "study/train.py", "pkg/a.py", "study/pkg/a.py"),
        ("study/train.py", "train.py", "study/pkg/a.py", "pkg/a.py"),
        ("old/train.py", "new/train.py", "old/a.py", "new/a.py"),
        ("old/train.py", "new/train.py", "lib/a.py", "lib/a.py"),
        ("train.py", "fit.py", "train.py", "fit.py"),
        ("train.py", "fit.py", "pkg/train.py", "pkg/train.py"),
        ("a/x/train.py", "b/y/train.py", "a/x/pkg/m.py", "b/y/pkg/m.py"),
        ("train.py", "study/train.py", "@lib/a.py", "@lib/a.py"),
    ],
)
def test_a_move_renames_the_files_beside_the_entry(
    before: str, after: str, name: str, now: str
) -> None:
    assert Move.between(before, after).apply(name) == now
