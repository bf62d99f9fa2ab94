"""What benchmarks make of their readings: figures, targets, the check, growth, a config's life."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import check, life, targets
from benchmarks.curves import curves_of, growths_of
from benchmarks.efficiency import efficiency_figures
from benchmarks.figures import RATIO, SHARE, figure, meets, ratio_figure, shown
from benchmarks.growth import growth, slope
from benchmarks.harness import ROOT
from benchmarks.overhead_round import Task
from benchmarks.record import load_readings
from benchmarks.resume import resume_figures
from benchmarks.starting import BASE, starting_figures


def test_a_figure_is_a_median_with_its_spread() -> None:
    assert figure([3, 1, 2, 10], "s") == {
        "unit": "s",
        "pairs": 4,
        "min": 1,
        "median": 2.5,
        "max": 10,
    }
    # Turn 2 was slow for both: a ratio of medians would say otherwise.
    found = ratio_figure([1, 20, 3], [2, 20, 2])
    assert (found["min"], found["median"], found["max"], found["unit"]) == (0.5, 1, 1.5, RATIO)
    with pytest.raises(IndexError):
        figure([], "s")


def test_of_a_share_more_is_better_of_all_else_less() -> None:
    assert meets(figure([0.96], SHARE), 0.95)
    assert not meets(figure([0.94], SHARE), 0.95)
    assert meets(figure([1.4], RATIO), 1.5)
    assert not meets(figure([1.6], RATIO), 1.5)
    assert not meets(figure([401], "MB"), 400)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.234, RATIO, "1.23×"),
        (0.0123, RATIO, "0.012×"),
        (0.951, SHARE, "95.1 %"),
        (0.123, "s", "0.12 s"),
        (12.34, "us", "12.3 us"),
        (399.9, "MB", "400 MB"),
        (8, "", "8.00"),
    ],
)
def test_values_are_shown_with_their_unit(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_what_is_worse_than_accepted_by_more_than_noise() -> None:
    quiet = figure([1.0, 1.0, 1.05], RATIO)
    noisy = figure([1.0, 0.9, 1.5], RATIO)
    assert check.bound(quiet) == pytest.approx(1.15)
    assert check.bound(noisy) == pytest.approx(1.5)
    assert check.is_worse(quiet, figure([1.2] * 3, RATIO))
    assert not check.is_worse(quiet, figure([1.14] * 3, RATIO))
    assert not check.is_worse(noisy, figure([1.4] * 3, RATIO))
    assert not check.is_worse(quiet, figure([0.2] * 3, RATIO))
    share = figure([0.96, 0.95, 0.97], SHARE)
    assert check.bound(share) == pytest.approx(0.96 * 0.97)
    assert check.is_worse(share, figure([0.92] * 3, SHARE))
    assert not check.is_worse(share, figure([0.99] * 3, SHARE))


def test_only_ratios_and_shares_of_enough_readings_are_compared(tmp_path: Path) -> None:
    accepted = {
        "a": figure([1.0] * 3, RATIO),
        "few": figure([1.0] * 3, RATIO),
        "s": figure([1.0] * 3, "s"),
        "gone": figure([1.0] * 3, RATIO),
    }
    now = {
        "a": figure([2.0] * 3, RATIO),
        "few": figure([2.0] * 2, RATIO),
        "s": figure([2.0] * 3, "s"),
        "new": figure([2.0] * 3, RATIO),
    }
    assert check.worse(accepted, now) == ["a"]
    told = check.sentences(accepted, now)
    assert told[0] == "worse: a is 2.00×, accepted 1.00×, bound 1.15×"
    assert told[1] == "1 of 1 figures worse than accepted; 3 not measured, 1 new"


def test_accepting_and_checking_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results, accepted = tmp_path / "results", tmp_path / "accepted.json"
    results.mkdir()
    monkeypatch.setattr(check, "ACCEPTED", accepted)
    monkeypatch.setattr(check.accept, "__defaults__", (accepted,))
    monkeypatch.setattr(check.load_accepted, "__defaults__", (accepted,))

    def measured(name: str, value: float) -> None:
        record = {"started_at": "2026-01-01T00:00:00+00:00", "versions": {"git": "abc"}}
        record["figures"] = {f"{name}.x": figure([value] * 3, RATIO)}
        (results / f"{name}.json").write_text(json.dumps(record))

    measured("one", 1.0)
    measured("two", 1.0)
    words = ["--results", str(results)]
    assert check.main(words) == 0  # nothing accepted, nothing worse
    check.accept(load_readings(results))
    measured("one", 1.3)
    assert check.main(words) == 1
    assert "worse: one.x is 1.30×" in capsys.readouterr().out
    (results / "two.json").unlink()
    check.accept(load_readings(results))
    assert check.main(words) == 0
    kept = check.load_accepted()
    assert (kept["one.x"]["median"], kept["two.x"]["median"]) == (1.3, 1.0)
    assert kept["two.x"]["git"] == "abc"


@pytest.mark.parametrize(
    ("power", "linear"), [(0.5, True), (1.0, True), (1.5, False), (2.0, False)]
)
def test_growth_names_what_is_worse_than_linear(power: float, linear: bool) -> None:
    found = growth([(n, 1e-3 * n**power) for n in (100, 1_000, 10_000)])
    assert found.linear == pytest.approx(power)
    assert found.worse_than_linear is not linear
    assert found.worse_than_n_log_n is not linear


def test_a_cost_of_its_own_hides_no_growth() -> None:
    found = growth([(n, 5 + 1e-6 * n**2) for n in (100, 1_000, 10_000, 100_000)])
    assert slope([(0, 0), (1, 1), (2, 2)]) == pytest.approx(1)
    assert found.linear > 1.9  # the last two points say it
    assert found.worse_than_n_log_n


def test_n_log_n_is_what_it_says() -> None:
    from math import log

    found = growth([(n, n * log(n)) for n in (1_000, 10_000, 50_000)])
    assert found.n_log_n == pytest.approx(1)
    assert not found.worse_than_n_log_n
    assert found.worse_than_linear
    with pytest.raises(ValueError, match="two values of n"):
        growth([(10, 1), (10, 2)])


def test_curves_are_found_by_their_figures() -> None:
    figures = {
        "overhead.1000.work_s": figure([4], "s"),
        "overhead.100.work_s": figure([2], "s"),
        "overhead.1000.ztxexp.work": figure([2], RATIO),
        "resume.1000.plan": figure([0.1], "s"),
        "resume.10000.plan": figure([10.0], "s"),
        "resume.10000.plan, ztxexp": figure([10.0], "s"),
        "resume.1000.report": figure([10.0], "s"),
    }
    found = curves_of(figures)
    assert found == {
        "sweep of no-ops, last run ended": [(100, 2), (1000, 4)],
        "deciding what is left, warm": [(1000, 0.1), (10_000, 10.0)],
    }
    assert growths_of(figures)["deciding what is left, warm"].linear == pytest.approx(2)


def test_targets_are_judged() -> None:
    first = targets.TARGETS[0]
    assert (first.value, first.aim) == (1.5, 1.1)

    def words(median: float) -> str:
        return targets.judged({first.figure: figure([median], RATIO)})[0].words

    assert [words(median) for median in (1.0, 1.4, 1.6)] == ["met, aim too", "met", "**not met**"]
    missing = targets.judged({})[0]
    assert (missing.met, missing.words, missing.value_shown()) == (False, "not measured", "-")
    assert targets.judged({first.figure: figure([1], RATIO)})[0].target_shown() == (
        "≤ 1.50×, aim 1.10×"
    )


def test_reasons_are_of_targets(tmp_path: Path) -> None:
    known = {target.figure for target in targets.TARGETS}
    assert len(known) == len(targets.TARGETS)
    for name, why in targets.reasons().items():
        assert name in known, f"reasons.toml: {name} is no target's figure"
        assert set(why) <= {"reason", "next"}


def test_efficiency_is_the_ideal_time_over_the_actual_one() -> None:
    task = Task(200, 2, "burn", 0.2)
    found = efficiency_figures(task, {"ours": [{"work_ms": 125.0}], "ztxexp": []})
    assert set(found) == {"efficiency.0.2.ours"}
    assert found["efficiency.0.2.ours"]["median"] == pytest.approx(0.8)
    pause = Task(200, 2, "pause", 0.05)
    round_ = {"work_ms": 25.0, "n": 200, "waited_s": 0.25}
    waiting = efficiency_figures(pause, {"ours": [round_]})
    assert waiting["waiting.of_the_work"]["median"] == pytest.approx(5)
    assert waiting["waiting.seconds"]["median"] == 0.25


def test_first_jobs_are_put_over_the_import_of_their_turn() -> None:
    readings = {
        BASE: [{"prompt_s": 1.0}, {"prompt_s": 2.0}],
        "ours": [
            {"first_job_s": 2.0, "prompt_s": 3.0},
            {"first_job_s": 4.0, "prompt_s": 5.0},
        ],
    }
    found = starting_figures(readings)
    assert found["starting.ours.over_import"]["median"] == 2
    assert found["starting.ours.first_job"]["median"] == 3
    assert f"starting.{BASE}.over_import" not in found


def test_resuming_is_put_over_ztxexps_where_it_was_asked() -> None:
    readings = {
        "10": {"plan": [1.0], "plan, ztxexp": [2.0], "results": [1.0], "results, ztxexp": [1.0]},
        "20": {"plan": [1.0], "results": [1.0], "results, ztxexp": [4.0]},
    }
    found = resume_figures(readings, [100.0])
    assert found["resume.10.plan.over_ztxexp"]["median"] == 0.5
    assert "resume.20.plan.over_ztxexp" not in found
    assert found["resume.20.results.over_ztxexp"]["median"] == 0.25


@pytest.mark.parametrize(
    ("stack", "group"),
    [
        (
            "_run (threading.py:9);run (prefect/task_engine.py:1);get (x/api.py:3)",
            "Prefect client: engine",
        ),
        (
            "run (prefect/task_engine.py:1);emit (prefect/events/utilities.py:3)",
            "Prefect client: events",
        ),
        (
            "ship (~/prefect_compat/event_shipping.py:1);send (prefect/client.py:3)",
            "Prefect client: events",
        ),
        (
            "run (prefect/task_engine.py:1);config (~/orchestration/tasks/config_task.py:4)",
            "sweep and flow",
        ),
        ("config (~/x.py:4);take (~/runs/ledger/claims.py:1);w (~/base/files.py:2)", "claims"),
        ("a (~/runs/ledger/sweep_folder.py:1);dumps (json/__init__.py:1)", "ledger"),
        ("a (~/workers/isolation/pool.py:1);send (socket.py:1)", "IPC"),
        ("a (~/admission/gate.py:1)", "admission"),
        ("a (~/orchestration/tasks/hooks.py:1);b (~/delivery/link.py:3)", "events"),
        ("a (~/runs/record/run_record.py:1)", "files"),
        ("a (~/runs/ledger/catalogue.py:1)", "spec and plan"),
        (
            "main (benchmarks/contestants.py:1);f (~/api/sweep_flow.py:1);p (prefect/flows.py:2)",
            "Prefect client: engine",
        ),
        ("main (benchmarks/contestants.py:1);configs (benchmarks/jobs.py:1)", life.BEFORE),
        ("a (prefect/x.py:1);_find_and_load (<frozen importlib._bootstrap>:1)", life.IMPORTS),
        ("_worker (concurrent/futures/thread.py:1)", life.OTHER),
    ],
)
def test_each_stack_has_its_group(stack: str, group: str) -> None:
    assert life.group_of(stack.replace("~", "argus_tasks")) == group


def test_every_group_names_modules_that_are_there() -> None:
    ours = {f"{path}" for path in (ROOT / "argus_tasks").rglob("*.py")}
    flows = {f"argus_tasks/{path.relative_to(ROOT)}" for path in (ROOT / "flows").glob("*.py")}
    for name, parts in (*life.OWNERS, *life.GROUPS):
        for part in parts:
            if not part.startswith("prefect/"):
                assert any(part in path for path in ours | flows), (name, part)


def test_shares_leave_out_imports() -> None:
    lines = [
        "a (prefect/x.py:1);b (<frozen importlib._bootstrap>:1) 50",
        "a (argus_tasks/runs/ledger/claims.py:1) 3",
        "a (argus_tasks/runs/ledger/sweep_folder.py:1) 1",
        "",
    ]
    counted = life.samples_by_group(lines)
    assert counted[life.IMPORTS] == 50
    assert life.shares(counted) == {"claims": 0.75, "ledger": 0.25}
