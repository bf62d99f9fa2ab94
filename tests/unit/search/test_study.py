"""A study on disk: the same trials however often its process is another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.search.study import STUDY_FILE, Study, TrialState
from argus_tasks.spec.search_section import Search
from argus_tasks.spec.search_space import SearchSpace
from argus_tasks.spec.sweep_spec import SweepSpec

SPACE = {
    "x": {"uniform": [-3, 3]},
    "lr": {"log_uniform": [1e-4, 1]},
    "depth": {"int": [1, 6]},
    "norm": {"choice": ["batch", "layer"]},
}
GRID = {"depth": {"int": [1, 6]}, "norm": {"choice": ["batch", "layer"]}}


def searched(**options: Any) -> Search:
    given = {"metric": "loss", "direction": "min", "n_trials": 20, "space": SPACE, **options}
    search = SweepSpec.from_mapping({"search": given}).search
    assert search is not None
    return search


def study_in(folder: Path, workers: int = 1, **options: Any) -> Study:
    search = searched(**options)
    return Study(search, SearchSpace({}, search), name="s", folder=folder, base={}, workers=workers)


def opened(folder: Path, **options: Any) -> Study:
    study = study_in(folder, **options)
    study.open()
    return study


def go_on(study: Study, first: int, after_last: int) -> list[dict[str, Any]]:
    found = []
    for number in range(first, after_last):
        trial = study.ask(number)
        assert trial.number == number
        found.append(dict(trial.params))
        study.tell(number, TrialState.COMPLETE, float(trial.params["depth"]) + number % 3)
    return found


@pytest.mark.parametrize("sampler", ["random", "cmaes", "tpe", "grid"])
def test_a_seed_gives_the_same_trials_however_often_it_is_opened(
    tmp_path: Path, sampler: str
) -> None:
    options = {"sampler": sampler, "space": GRID if sampler == "grid" else SPACE, "n_trials": 12}
    whole = go_on(opened(tmp_path / "whole", **options), 0, 12)
    parts = []
    for first, after_last in ((0, 5), (5, 11), (11, 12)):
        study = opened(tmp_path / "parts", **options)
        parts += go_on(study, first, after_last)
        study.close()
    other = go_on(opened(tmp_path / "other", seed=1, **options), 0, 12)
    assert parts == whole
    assert other != whole
    assert len({tuple(params.values()) for params in whole}) == 12


def test_a_trial_that_was_cut_off_while_it_was_asked_is_asked_to_the_end(tmp_path: Path) -> None:
    study = opened(tmp_path, sampler="random")
    asked = dict(study.ask(0).params)
    study.close()
    path = tmp_path / STUDY_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    while lines and b'"param_name":"norm"' not in lines.pop():
        pass
    path.write_bytes(b"".join(lines)[:-7])  # killed in the middle of a line
    again = opened(tmp_path, sampler="random")
    trial = again.ask(0)
    assert trial.number == 0
    assert set(trial.params) == set(asked)
    assert [trial.params[key] for key in ("x", "lr")] == [asked[key] for key in ("x", "lr")]
    assert again.ask(1).number == 1


def test_a_torn_end_is_cut_away(tmp_path: Path) -> None:
    study = opened(tmp_path)
    go_on(study, 0, 3)
    study.close()
    with (tmp_path / STUDY_FILE).open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    assert [trial.number for trial in study_in(tmp_path).known_trials()] == [0, 1, 2]
    again = opened(tmp_path)
    go_on(again, 3, 5)
    states = [trial.state for trial in study_in(tmp_path).known_trials()]
    assert states == [TrialState.COMPLETE] * 5


def test_a_storage_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / STUDY_FILE).write_text("no journal\nat all\n")
    with pytest.raises(BadInput, match=r"study\.journal', which cannot be used"):
        study_in(tmp_path).known_trials()
    with pytest.raises(BadInput, match="'nosuch://x', which cannot be used"):
        study_in(tmp_path, storage="nosuch://x").open()


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert study_in(tmp_path / "none").known_trials() == []
    assert study_in(tmp_path, storage=str(tmp_path / "given")).known_trials() == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_told_stays(tmp_path: Path) -> None:
    study = opened(tmp_path, pruner="median")
    study.ask(0)
    study.report(0, 0, 3.0)
    study.report(0, 0, 4.0)  # the first counts
    study.tell(0, TrialState.PRUNED)
    study.tell(0, TrialState.COMPLETE, 1.0)
    study.report(0, 1, 2.0)  # too late
    assert not study.should_prune(0)
    assert [trial.state for trial in study_in(tmp_path).known_trials()] == [TrialState.PRUNED]


def test_a_report_that_is_much_worse_is_given_up(tmp_path: Path) -> None:
    study = opened(tmp_path, pruner="median")
    for number in range(7):
        study.ask(number)
        study.report(number, 0, 1.0 if number < 6 else 9.0)
        assert study.should_prune(number) == (number == 6)
        if number < 6:
            study.tell(number, TrialState.COMPLETE, 1.0)


def test_the_seed_of_a_grid_stays(tmp_path: Path) -> None:
    opened(tmp_path, sampler="grid", space=GRID, n_trials=None)
    with pytest.raises(BadInput, match=r"the grid's search\.seed is not what it was"):
        study_in(tmp_path, sampler="grid", space=GRID, n_trials=None, seed=1).known_trials()
