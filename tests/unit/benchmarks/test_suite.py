"""The suite: what it runs and writes, what a failure costs, and what a check measures again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import check, page, record, suite
from benchmarks.figures import RATIO, figure
from benchmarks.suite import Step


def measured(key: str, value: float) -> dict[str, Any]:
    return {
        "started_at": "2026-01-01T00:00:00+00:00",
        "versions": {"git": "abc"},
        "figures": {key: figure([value] * 3, RATIO)},
    }


def giving(key: str, *values: float) -> Callable[[], dict[str, Any]]:
    left: Iterator[float] = iter(values)
    return lambda: measured(key, next(left))


def broken() -> dict[str, Any]:
    raise KeyError("no such figure")


def test_a_step_that_fails_costs_itself_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [Step("a", broken, broken), Step("b", giving("b.x", 2.0), giving("b.x", 1.0))]
    (tmp_path / "a.json").write_text("{}")
    assert suite.run(steps, tmp_path, full=False) == ["a"]
    assert "no such figure" in capsys.readouterr().err
    assert (tmp_path / "a.json").read_text() == "{}"  # the earlier results stay
    assert json.loads((tmp_path / "b.json").read_text())["figures"]["b.x"]["median"] == 1.0
    assert suite.run(steps[1:], tmp_path, full=True) == []
    assert json.loads((tmp_path / "b.json").read_text())["figures"]["b.x"]["median"] == 2.0


def test_what_comes_too_late_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [Step("a", broken, giving("a.x", 1.0))]
    assert suite.run(steps, tmp_path, full=False, last_start_s=-1.0) == []
    assert "a is left out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert suite.run(steps, tmp_path, full=False, last_start_s=60.0) == []
    assert (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("readings", "code"), [((1.1,), 0), ((1.3, 1.1), 0), ((1.3, 1.4), 1), ((1.3, 0.5), 0)]
)
def test_a_check_fails_where_two_measurements_say_so(
    readings: tuple[float, ...],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(suite, "CHECKED", tmp_path / "checked")
    monkeypatch.setattr(
        check,
        "load_accepted",
        lambda: measured("a.x", 1.0)["figures"] | measured("b.x", 1.0)["figures"],
    )
    steps = [
        Step("a", broken, giving("a.x", *readings)),
        Step("b", broken, giving("b.x", 1.0)),  # measured once: it cannot be asked twice
    ]
    assert suite.checked(steps) == code
    assert ("worse, twice: a.x" in capsys.readouterr().out) is bool(code)


def test_a_check_that_could_not_measure_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite, "CHECKED", tmp_path / "checked")
    assert suite.checked([Step("a", broken, broken)]) == 1
    assert "failed: a" in capsys.readouterr().out


def test_every_step_has_a_name_of_its_own_and_the_short_suite_fits() -> None:
    names = [step.name for step in suite.STEPS]
    assert len(set(names)) == len(names)
    assert suite.LAST_START_S < 600


def test_an_unknown_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        suite.main(["--only", "overhed"])
    assert caught.value.code == 2
    assert "overhed" in capsys.readouterr().err


def test_the_record_holds_figures_and_the_readings_stay_in_the_ignored_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert record.READINGS.relative_to(record.ROOT).parts[0] == "build"  # as .gitignore has it
    committed, readings = tmp_path / "record.json", tmp_path / "readings"
    machine = {"cpu": "x", "cores_usable": 2, "python": "3.11", "load_before": [0.5], "disk": "y"}
    made = measured("b.x", 1.0) | {"machine": machine, "readings": {"x": [1.0, 1.0, 1.0]}}
    monkeypatch.setattr(suite, "STEPS", (Step("b", lambda: made),))
    monkeypatch.setattr(suite, "READINGS", readings)
    monkeypatch.setattr(record.update_record, "__defaults__", (committed,))
    monkeypatch.setattr(page, "write_all", lambda: None)
    monkeypatch.setattr(page, "summary", list)
    record.update_record({"a": made})
    assert suite.main(["--only", "b"]) == 0
    assert json.loads((readings / "b.json").read_text())["readings"] == made["readings"]
    kept = record.load_record(committed)
    assert list(kept) == ["a", "b"]  # what was not measured stays
    assert kept["b"]["figures"] == made["figures"]
    assert "readings" not in kept["b"]
    assert "disk" not in kept["b"]["machine"]
