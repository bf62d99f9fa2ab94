"""`argus-tasks status`: where it looks, and which batches it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from argus_tasks.cli.main import main
from argus_tasks.planning.resolve import resolve
from argus_tasks.session.sweep_session import new_session


def run_nothing(ctx: object) -> None:
    """Never called: the session is opened and closed."""


def opened(root: Path, name: str) -> str:
    """A batch under the results root; its id."""
    request = resolve([{"lr": 1}], run_nothing, name=name, results_root=root, mode="sequential")
    with new_session(request) as session:
        return session.plan.batch_id


def test_status_takes_a_results_root_as_verify_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = opened(tmp_path / "mine", "first"), opened(tmp_path / "mine", "second")
    for words in (["mine"], ["--results-root", "mine"]):
        assert main(["status", *(str(tmp_path / w) if w == "mine" else w for w in words)]) == 0
        out = capsys.readouterr().out
        assert first in out
        assert second in out
    root = str(tmp_path / "mine")
    for words in ([root, "--batch", first], [first, "--results-root", root]):
        assert main(["status", *words]) == 0
        out = capsys.readouterr().out
        assert first in out
        assert second not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ROOT", "--results-root", "ROOT"], "DIR and --results-root"),
        (["one-id", "--batch", "another-id", "--results-root", "ROOT"], "BATCH and --batch"),
        (["not-there", "--results-root", "ROOT"], "no folder, batch or sweep 'not-there'"),
        (["ROOT", "--batch", "not-there"], "there is no batch or sweep 'not-there'"),
    ],
)
def test_what_status_cannot_find_is_bad_input(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(tmp_path, "first")
    assert main(["status", *(str(tmp_path) if word == "ROOT" else word for word in words)]) == 2
    assert said in capsys.readouterr().err
