"""Searches run without Prefect: what is asked, told, resumed, and what the files say then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.main import main
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.resolve import resolve
from argus_tasks.planning.saved_request import load_request
from argus_tasks.planning.sweep_plan import Action
from argus_tasks.runs.ledger.summary import RunSummary
from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.runs.ledger.verification import verify
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support import search_experiments
from tests.support.sessions import records, run_session

SPACE = {"x": {"uniform": [-3, 3]}, "depth": {"int": [1, 6]}}
GRID = {"x": {"choice": [0, 1, 2]}, "depth": {"int": [2, 5]}}


def request(root: Path, experiment: Any = search_experiments.bowl, **options: Any) -> SweepRequest:
    asked = {"metric": "loss", "direction": "min", "n_trials": 6, "space": SPACE}
    asked |= {key: options.pop(key) for key in ("sampler", "n_trials", "pruner") if key in options}
    asked |= {key: options.pop(key) for key in ("space", "seed", "storage") if key in options}
    options = {"mode": "sequential", "workers": 1, "name": "s", "project": "p", **options}
    base = options.pop("base", {})
    asked = {key: value for key, value in asked.items() if value is not None}
    return resolve([base], experiment, results_root=root, search=asked, **options)


def run(root: Path, experiment: Any = search_experiments.bowl, **options: Any) -> RunSummary:
    return run_session(new_session(request(root, experiment, **options)))


def study(root: Path) -> optuna.Study:
    (path,) = root.glob(".sweep/*/study.journal")
    storage = JournalStorage(JournalFileBackend(str(path)))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def states(root: Path) -> list[str]:
    return [trial.state.name for trial in study(root).trials]


def plan_lines(root: Path) -> list[dict[str, Any]]:
    (path,) = root.glob(".sweep/*/plan.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_trial_is_a_run_and_is_told(tmp_path: Path) -> None:
    summary = run(tmp_path)
    assert (summary.total, summary.succeeded, summary.reused) == (6, 6, 0)
    trials = study(tmp_path).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 6
    lines = plan_lines(tmp_path)
    assert [line["index"] for line in lines] == list(range(6))
    by_number = {line["index"]: line["config"] for line in lines}
    losses = {
        json.dumps(record["config"], sort_keys=True): json.loads(
            (record["dir"] / "metrics.json").read_text()
        )["loss"]
        for record in records(tmp_path)
    }
    for trial in trials:
        assert by_number[trial.number] == trial.params
        assert losses[json.dumps(trial.params, sort_keys=True)] == trial.value
    metas = [json.loads((r["dir"] / "meta.json").read_text()) for r in records(tmp_path)]
    numbers = [meta["extras"]["optuna"]["trial_number"] for meta in metas]
    assert sorted(numbers) == list(range(6))
    assert verify(tmp_path).findings == []


def test_the_grid_is_every_combination_once(tmp_path: Path) -> None:
    summary = run(tmp_path, sampler="grid", n_trials=None, space=GRID)
    assert (summary.total, summary.succeeded) == (12, 12)
    found = {(record["config"]["x"], record["config"]["depth"]) for record in records(tmp_path)}
    assert found == {(x, depth) for x in (0, 1, 2) for depth in (2, 3, 4, 5)}


def test_what_has_been_run_is_reused_and_counts(tmp_path: Path) -> None:
    run(tmp_path, sampler="grid", n_trials=None, space=GRID, name="first")
    summary = run(tmp_path, sampler="random", space=GRID, name="second", n_trials=5)
    assert (summary.total, summary.succeeded, summary.reused) == (5, 5, 5)
    assert len(records(tmp_path)) == 12


def test_equal_trials_are_one_run(tmp_path: Path) -> None:
    summary = run(
        tmp_path,
        sampler="random",
        n_trials=20,
        space={"x": {"choice": [1, 2]}},
        mode="thread",
        workers=4,
        base={"seconds": 0.05},
    )
    assert (summary.total, summary.succeeded, summary.reused) == (20, 20, 18)
    assert len(records(tmp_path)) == 2
    assert states(tmp_path) == ["COMPLETE"] * 20
    assert verify(tmp_path).findings == []


def test_how_runs_end_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    space = {"kind": {"choice": ["raise", "segfault", "mute", "well"]}}
    options = {"sampler": "grid", "n_trials": None, "space": space, "mode": "process_pool"}
    summary = run(tmp_path, search_experiments.deadly, workers=2, **options)
    assert (summary.succeeded, summary.failed) == (2, 2)
    told = {trial.params["kind"]: trial.state.name for trial in study(tmp_path).trials}
    assert told == {"raise": "FAIL", "segfault": "FAIL", "mute": "FAIL", "well": "COMPLETE"}

    assert "has no number 'loss': its trial failed" in caplog.text
    caplog.clear()

    plan = make_plan(request(tmp_path, search_experiments.deadly, workers=2, **options))
    assert plan.to_do == ()  # a failed trial stays failed
    again = run(tmp_path, search_experiments.deadly, workers=2, **options)
    assert (again.succeeded, again.reused, again.failed, again.skipped) == (2, 2, 2, 0)
    assert caplog.text == ""
    assert verify(tmp_path).findings == []


def test_what_could_not_be_told_any_more_is_told_by_the_next_start(tmp_path: Path) -> None:
    space = {"kind": {"choice": ["raise", "mute", "well"]}}
    options = {"sampler": "grid", "n_trials": None, "space": space}
    session = new_session(request(tmp_path, search_experiments.deadly, **options))
    trials: Any = session.trials
    trials._study.tell = lambda *_: None  # killed between a run's end and this, three times
    assert run_session(session).failed == 1
    assert states(tmp_path) == ["RUNNING"] * 3

    asked = request(tmp_path, search_experiments.deadly, **options)
    assert make_plan(asked).to_do == ()
    again = run_session(new_session(asked))
    assert (again.succeeded, again.reused, again.failed) == (2, 2, 1)
    told = {trial.params["kind"]: trial.state.name for trial in study(tmp_path).trials}
    assert told == {"raise": "FAIL", "mute": "FAIL", "well": "COMPLETE"}
    assert len(records(tmp_path)) == 3


@pytest.mark.parametrize(
    ("mode", "raises"), [("process_pool", False), ("thread", False), ("sequential", True)]
)
def test_a_hopeless_trial_is_given_up(tmp_path: Path, mode: str, raises: bool) -> None:
    # Five good ones first: the median pruner wants these before it judges.
    options: dict[str, Any] = {
        "mode": mode,
        "pruner": "median",
        "sampler": "random",
        "n_trials": 7,
        "workers": 1,
        "base": {"raises": raises},
    }
    asked = request(
        tmp_path,
        search_experiments.hopeless,
        space={"good": {"choice": [True, False]}, "x": {"uniform": [0, 1]}},
        **options,
    )
    session = new_session(asked)
    namer_order = [True] * 5 + [False] * 2
    trials: Any = session.trials
    original = trials._study.ask

    def ask(number: int) -> Any:
        known = original(number)
        good = namer_order[known.number]
        return type(known)(known.number, known.state, {**known.params, "good": good})

    trials._study.ask = ask
    summary = run_session(session)
    assert (summary.succeeded, summary.skipped) == (5, 2)
    assert states(tmp_path) == ["COMPLETE"] * 5 + ["PRUNED"] * 2
    assert [trial.value for trial in study(tmp_path).trials[5:]] == [5.0, 5.0]
    pruned = [record for record in records(tmp_path) if record["status"] == "skipped"]
    for record in pruned:
        assert record["cause"] == "pruned"
        assert record["error_message"] == "pruned at step 0: loss 5"
        assert json.loads((record["dir"] / "metrics.json").read_text()) == {"loss": 5.0}
    assert verify(tmp_path).findings == []


def test_another_sweep_runs_what_a_search_gave_up(tmp_path: Path) -> None:
    options: dict[str, Any] = {"pruner": "median", "sampler": "random", "n_trials": 1}
    run(tmp_path, _pruned, space={"x": {"choice": [1]}}, **options)
    assert states(tmp_path) == ["PRUNED"]
    plain = resolve([{"x": 1}], _pruned, results_root=tmp_path, name="plain", project="p")
    (planned,) = make_plan(plain).runs
    assert planned.action is Action.RUN
    assert planned.known is not None


def _pruned(ctx: Any) -> None:
    ctx.report(0, 1.0)
    raise search_experiments.TrialPruned


def test_reports_without_a_search_are_for_nobody(tmp_path: Path) -> None:
    plain = resolve([{"good": True}], search_experiments.hopeless, results_root=tmp_path)
    assert run_session(new_session(plain)).succeeded == 1
    (record,) = records(tmp_path)
    assert not (record["dir"] / "reports.jsonl").exists()


def stop_after_the_first_end(session: SweepSession, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = session.progress.ended

    def ended(*news: Any) -> None:
        whole(*news)
        session.stops.stop("user")

    monkeypatch.setattr(session.progress, "ended", ended)


def test_a_stopped_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = new_session(request(tmp_path, base={"seconds": 0.01}, n_trials=8))
    stop_after_the_first_end(session, monkeypatch)
    summary = run_session(session)
    assert (summary.succeeded, summary.not_started) == (1, 7)
    again = run(tmp_path, base={"seconds": 0.01}, n_trials=8)
    assert (again.total, again.succeeded, again.reused) == (8, 8, 1)
    assert states(tmp_path) == ["COMPLETE"] * 8
    assert [line["index"] for line in plan_lines(tmp_path)] == list(range(8))


def test_another_space_is_another_search(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(BadInput, match=r"search.space is not what it was when study 's-\w{6}'"):
        make_plan(request(tmp_path, space=GRID))
    with pytest.raises(BadInput, match="base is not what it was"):
        make_plan(request(tmp_path, base={"seconds": 0}))
    assert make_plan(request(tmp_path, space=GRID, fresh=True)).to_do


def test_a_night_is_of_fixed_configs(tmp_path: Path) -> None:
    from argus_tasks.orchestration.nightly.night import dated

    with pytest.raises(BadInput, match="search draws other configs each night"):
        dated(request(tmp_path), datetime.now(UTC))


def test_a_plan_starts_and_writes_nothing(tmp_path: Path) -> None:
    plan = make_plan(request(tmp_path, storage=str(tmp_path / "study.journal")))
    assert len(plan.to_do) == 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("storage", ["other.journal", "sqlite:///{root}/study.db"])
def test_the_study_may_lie_elsewhere(tmp_path: Path, storage: str) -> None:
    where = storage.format(root=tmp_path)
    where = where if "://" in where else str(tmp_path / where)
    run(tmp_path, storage=where, n_trials=1)
    summary = run(tmp_path, storage=where, n_trials=2)
    assert (summary.total, summary.reused, summary.succeeded) == (2, 1, 2)
    assert not list(tmp_path.glob(".sweep/*/study.journal"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"order": "shuffle"}, "order is 'shuffle'"),
        ({"breaker": 3}, "breaker is 3"),
        ({"on_code_change": "rerun"}, "on_code_change is 'rerun'"),
        ({"limits": {"gpu": {"limit": 1, "where": {"x": 1}}}}, "limits.gpu.where names 'x'"),
    ],
)
def test_what_needs_all_configs_is_refused(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        request(tmp_path, **options)


RERUN = """
def run(ctx):
    if ctx.config["x"] == 1 and not open("allowed").read():
        raise ValueError("not allowed")
    return {"loss": ctx.config["x"]}
"""


def test_the_commands_know_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        assert main(list(words)) == 0
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    Path("exp.py").write_text(RERUN)
    Path("allowed").write_text("")
    Path("sweep.yaml").write_text(
        "experiment: exp:run\nproject: p\nresults_root: results\nexecution: {workers: 1}\n"
        "search: {sampler: grid, metric: loss, direction: min, space: {x: {int: [1, 3]}}}\n"
    )
    assert "grid, 3 trials over x; min loss" in said("plan", "sweep.yaml")
    assert not Path("results").exists()
    first = resolve("sweep.yaml")
    assert run_session(new_session(first)).failed == 1
    root = first.results_root
    assert "3 configs: 2 succeeded, 1 failed" in said("status", "--results-root", "results")
    out = said("plan", "sweep.yaml")
    assert "2 succeeded already, reused" in out
    assert "1 failed already, left" in out
    for what in ("results", "sweep.yaml"):
        assert "1 of 3 configs" in said("rerun", what, "--failed", "--dry-run")

    Path("allowed").write_text("yes")
    Path("sweep.yaml").unlink()  # the record is enough
    (folder,) = batches(root)
    again = load_request(folder)
    (failed,) = [run for run in make_plan(again).runs if run.action is Action.LEAVE]
    session = new_session(replace(again, only=frozenset({str(failed.digest)})))
    assert run_session(session).sentence() == "1 of 1 succeeded"
    assert [line["index"] for line in plan_lines(root)] == [0, 1, 2]
    assert sorted(states(root)) == ["COMPLETE", "COMPLETE", "FAIL"]  # what was told stays
    assert make_plan(load_request(folder)).count(Action.REUSE) == 3
    assert verify(root).findings == []


def test_status_counts_what_has_not_been_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = new_session(request(tmp_path, n_trials=8))
    stop_after_the_first_end(session, monkeypatch)
    run_session(session)
    assert main(["status", "--results-root", str(tmp_path)]) == 0
    assert "8 configs: 1 succeeded, 7 not started" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (-1, ["was run, and no trial of the plan has its config", "1 of 3 trials are not there"]),
        (0, ["its trials are not those from 0 to 1", "was run, and no", "1 of 3 trials are not"]),
    ],
)
def test_a_trial_that_is_gone_from_the_plan_is_found(
    tmp_path: Path, line: int, found: list[str]
) -> None:
    run(tmp_path, n_trials=3)
    assert verify(tmp_path).findings == []
    (path,) = tmp_path.glob(".sweep/*/plan.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    del lines[line]
    path.write_text("".join(lines))
    told = [finding.sentence for finding in verify(tmp_path).findings]
    assert len(told) == len(found)
    assert all(part in sentence for part, sentence in zip(found, told, strict=True))


def test_a_script_is_searched_too(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(
        "command: [python, -c, 'print(\"METRIC loss=\" + str({x} ** 2))']\n"
        "search: {n_trials: 3, metric: loss, direction: min, space: {x: {uniform: [0, 1]}}}\n"
    )
    asked = resolve(tmp_path / "sweep.yaml", results_root=tmp_path / "results", project="p")
    assert run_session(new_session(asked)).succeeded == 3
    trials = study(tmp_path / "results").trials
    assert len(trials) == 3
    for trial in trials:
        assert trial.value == pytest.approx(trial.params["x"] ** 2)


PRUNED_SCRIPT = """
import sys, time
good = sys.argv[1] != "5"
for step in range(30):
    print(f"METRIC loss={0.1 if good else 9.0} step={step}")
    if not good:
        time.sleep(2)
"""


PRUNED_APP = """
import time
import hydra
from argus_tasks import RunContext

@hydra.main(version_base=None, config_path=None)
def main(cfg):
    run = RunContext.current()
    good = cfg.x != 5
    loss = 0.1 if good else 9.0
    for step in range(300):
        run.report(step, loss)
        if run.should_prune():
            return None
        time.sleep(0 if good else 0.2)
    return {"loss": loss}
"""


@pytest.mark.slow
def test_a_hopeless_script_is_ended(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PRUNED_SCRIPT)
    assert_one_is_given_up(tmp_path, {"command": [sys.executable, "train.py", "{x}"]}, "x", 30)


def test_a_hopeless_hydra_app_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PRUNED_APP)
    assert_one_is_given_up(tmp_path, {"experiment": "hydra:app.py"}, "+x", 300)


def assert_one_is_given_up(tmp_path: Path, what: dict[str, Any], key: str, most: int) -> None:
    (tmp_path / "sweep.json").write_text(
        json.dumps(
            {
                **what,
                "search": {
                    "sampler": "grid",
                    "metric": "loss",
                    "direction": "min",
                    "pruner": "median",
                    "space": {key: {"int": [0, 5]}},
                },
                "execution": {"workers": 2},
            }
        )
    )
    asked = resolve(tmp_path / "sweep.json", results_root=tmp_path / "results", project="p")
    assert run_session(new_session(asked)).sentence() == "5 of 6 succeeded, 1 skipped"
    told = {trial.params[key]: trial.state.name for trial in study(tmp_path / "results").trials}
    assert told == {**dict.fromkeys(range(5), "COMPLETE"), 5: "PRUNED"}
    (pruned,) = [run for run in records(tmp_path / "results") if run["status"] == "skipped"]
    assert pruned["cause"] == "pruned"
    lines = (pruned["dir"] / "reports.jsonl").read_text().splitlines()
    assert len(lines) < most


KILLED = """
import sys
from pathlib import Path
from tests.unit.search.test_search_session import request
from tests.support.sessions import run_session
from argus_tasks.session.sweep_session import new_session
root, marks = Path(sys.argv[1]), sys.argv[2]
base = {"marks": marks, "seconds": 0.05}
asked = request(root, base=base, n_trials=12, mode="process_pool", workers=2)
run_session(new_session(asked))
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_costs_no_trial(tmp_path: Path) -> None:
    root, marks = tmp_path / "results", tmp_path / "marks"
    marks.mkdir()
    words = [sys.executable, "-c", KILLED, str(root), str(marks)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    for so_many in (2, 6):
        process = subprocess.Popen(words, env=environment, start_new_session=True)
        deadline = time.monotonic() + 100
        while len(list(marks.iterdir())) < so_many:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "RUNNING" in states(root)
    subprocess.run(words, env=environment, check=True, timeout=100)
    trials = study(root).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 12
    lines = plan_lines(root)
    assert [line["index"] for line in lines] == list(range(12))
    assert len({line["digest"] for line in lines}) == 12
    assert len(records(root)) == 12  # a cut-off trial is taken up in its folder
    assert verify(root).findings == []
