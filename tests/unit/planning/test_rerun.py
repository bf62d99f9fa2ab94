"""`rerun` and `clean`: what is chosen, what is left alone, and that nothing is lost on the way."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.base.processes import this_process
from argus_tasks.base.repo import forget_repos
from argus_tasks.cli.main import main
from argus_tasks.planning.run_selection import RunSelection
from argus_tasks.planning.saved_request import load_request
from argus_tasks.planning.sweep_plan import Action
from argus_tasks.runs.ledger.claims import Claims
from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.runs.ledger.verification import verify
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support import experiments
from tests.support.sessions import records, request_for, run_session

KINDS = ["ok", "value_error", "skip", "kill", "nan"]


def sweep(root: Path, **more: Any) -> SweepSession:
    configs = [{"kind": kind, "optim": {"lr": 0.1 * place}} for place, kind in enumerate(KINDS)]
    return new_session(request_for(configs, experiments.mixed, root, name="s", workers=2, **more))


@pytest.fixture
def done(results_root: Path) -> Path:
    """A sweep with every kind of end, and a config that was never run."""
    session = sweep(results_root)
    with session:
        for index in range(4):
            AttemptRunner(session).run_one(index, 1)
        session.stops.stop("user")
    return results_root


def chosen(root: Path, **what: Any) -> list[str]:
    plan = make_plan(sweep(root).request)
    return [run.config["kind"] for run in RunSelection(**what).select(plan.runs)]


@pytest.mark.parametrize(
    ("what", "kinds"),
    [
        ({"failed": True}, ["value_error", "kill"]),
        ({"missing": True}, ["nan"]),
        ({"skipped": True}, ["skip"]),
        ({"failed": True, "missing": True}, ["value_error", "kill", "nan"]),
        ({"causes": ["signal sigkill"]}, ["kill"]),
        ({"causes": ["OOM"]}, []),
        ({"exceptions": ["ValueError"]}, ["value_error"]),
        ({"where": ["kind=ok"]}, ["ok"]),
        ({"where": ["optim.lr=0"]}, ["ok"]),
        ({"failed": True, "where": ["optim.lr=0.1"]}, ["value_error"]),
        ({"failed": True, "where": ["kind=ok"]}, []),
    ],
)
def test_what_is_chosen(done: Path, what: dict[str, Any], kinds: list[str]) -> None:
    assert chosen(done, **what) == kinds


def test_by_digest(done: Path) -> None:
    plan = make_plan(sweep(done).request)
    digest = str(plan.runs[2].digest)
    assert chosen(done, digests=[digest[:8]]) == ["skip"]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ({}, "nothing is chosen"),
        ({"where": ["kind"]}, "--where is 'kind'; expected KEY=VALUE"),
        ({"where": ["color=red"]}, "'color', which no config has"),
    ],
)
def test_what_cannot_be_chosen(done: Path, what: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        chosen(done, **what)


def test_a_rerun_names_its_parent_deletes_nothing_and_leaves_the_plan_whole(done: Path) -> None:
    before = {record["run_id"]: record for record in records(done)}
    (folder,) = batches(done)
    request = load_request(folder)
    plan = make_plan(request)
    digests = frozenset(str(run.digest) for run in RunSelection(failed=True).select(plan.runs))
    again = new_session(replace(request, only=digests))
    assert {run.action for run in again.plan.runs} == {Action.RUN}
    assert again.plan.batch_id == folder.batch_id
    summary = run_session(again)
    assert (summary.total, summary.failed) == (2, 2)
    now = records(done)
    assert len(now) == len(before) + 2
    for record in now:
        if record["run_id"] in before:
            assert record == before[record["run_id"]]
        else:
            parent = before[record["parent_run_id"]]
            assert parent["config"] == record["config"]
            assert parent["job_id"] == record["job_id"]
    assert len(list(folder.plan())) == 5, "the plan is still the whole sweep's"
    assert verify(done).findings == []


def test_what_succeeded_can_be_run_again_too(done: Path) -> None:
    (folder,) = batches(done)
    request = load_request(folder)
    plan = make_plan(request)
    (run,) = RunSelection(where=["kind=ok"]).select(plan.runs)
    summary = run_session(new_session(replace(request, only=frozenset([str(run.digest)]))))
    assert (summary.total, summary.succeeded, summary.reused) == (1, 1, 0)
    assert verify(done).findings == []


def test_the_command_says_what_it_would_run(done: Path, capsys: Any) -> None:
    assert main(["rerun", str(done), "--failed", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "2 of 5 configs of s are to be run again" in out
    assert "failed: ValueError" in out
    assert len(records(done)) == 4
    assert main(["rerun", str(done)]) == 2
    assert main(["rerun", str(done / "nothing"), "--failed"]) == 2


def test_without_its_file_a_sweep_is_run_again_as_it_was(results_root: Path) -> None:
    asked: dict[str, Any] = {
        "mode": "dynamic",
        "workers": 3,
        "order": "smoke_first",
        "cpu_limit": "mine",
        "min_free_memory": "1%",
        "gpus": 0,
        "slots_per_gpu": 2,
        "limits": {"license": 2, "odd": {"limit": 3, "slots": 2, "where": {"x": [1, 3]}}},
        "max_failures": "50%",
        "max_runtime": "2h",
        "breaker": 3,
        "max_attempts": 2,
        "retry_on": ["OSError"],
        "delay_s": 0.5,
        "metadata": {"group": "g", "tags": ["t"]},
        "on_code_change": "rerun",
        "experiment_type": "demo",
    }
    request = request_for([{"x": 1}, {"x": 2}], experiments.noop, results_root, name="s", **asked)
    with new_session(request):
        pass
    (folder,) = batches(results_root)
    again = load_request(folder)
    assert again.spec.model_dump() == request.spec.model_dump()
    spec, experiment = again.spec, again.experiment
    assert again == replace(request, spec=spec, experiment=experiment, batch_id=folder.batch_id)
    assert again.experiment.path == request.experiment.path


def test_a_closure_s_sweep_is_not_run_again_from_its_record(results_root: Path) -> None:
    offset = 1

    def closure(ctx: Any) -> dict[str, Any]:
        return {"x": ctx.config["x"] + offset}

    run_session(new_session(request_for([{"x": 1}], closure, results_root, mode="thread")))
    (folder,) = batches(results_root)
    with pytest.raises(BadInput, match="a closure; run that again instead"):
        load_request(folder)


def test_clean_is_dry_and_then_takes_away_what_fits(done: Path, capsys: Any) -> None:
    assert main(["clean", str(done), "--status", "failed"]) == 0
    assert "2 runs, 0.0 MB: would be deleted (--apply does)" in capsys.readouterr().out
    assert len(records(done)) == 4
    assert main(["clean", str(done), "--status", "failed", "--apply"]) == 0
    assert {record["status"] for record in records(done)} == {"succeeded", "skipped"}
    assert verify(done).findings == []
    (counts,) = verify(done).outcomes.values()
    assert counts["removed"] == 2
    assert not (done / ".sweep" / "removing").exists()
    assert make_plan(sweep(done).request).count(Action.RUN) == 3


def test_clean_by_age_and_metric(results_root: Path, capsys: Any) -> None:
    configs = [{"x": x} for x in range(4)]
    run_session(new_session(request_for(configs, experiments.score, results_root, mode="thread")))
    assert main(["clean", str(results_root), "--older-than", "1h", "--apply"]) == 0
    assert main(["clean", str(results_root), "--metric", "score", "--above", "3", "--apply"]) == 0
    left = {
        json.loads((one["dir"] / "metrics.json").read_text())["score"]
        for one in records(results_root)
    }
    assert left == {0, 2}
    assert main(["clean", str(results_root)]) == 2
    assert main(["clean", str(results_root), "--older-than", "soon"]) == 2
    assert main(["clean", str(results_root), "--metric", "score"]) == 2
    assert "expected a number and s, m, h, d or w" in capsys.readouterr().err


def test_clean_leaves_what_runs_or_is_claimed(done: Path) -> None:
    first, second, *_ = records(done)
    path = first["dir"] / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "status": "running", "owner": this_process()}))
    claims = Claims(done, "elsewhere", owner={**this_process(), "host": "elsewhere"})
    claims.open()
    assert claims.take(second["digest"], second["run_id"]) is not None
    everything = ["--status", "failed", "--status", "succeeded", "--status", "skipped"]
    assert main(["clean", str(done), *everything, "--status", "running", "--apply"]) == 0
    assert {one["run_id"] for one in records(done)} == {first["run_id"], second["run_id"]}


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with an experiment and a sweep file in it."""
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "changing_experiment.py").write_text("def run(ctx):\n    return {'x': 1}\n")
    (folder / "sweep.yaml").write_text(
        "name: c\nexperiment: changing_experiment:run\ngrid: {x: [1, 2]}\n"
        "execution: {mode: process_pool, workers: 1}\n"
    )
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def sweep_of(repo: Path, **more: Any) -> SweepSession:
    from argus_tasks.planning.resolve import resolve

    return new_session(resolve(repo / "sweep.yaml", **more))


def test_changed_code_is_said_and_decides(repo: Path, capsys: Any) -> None:
    run_session(sweep_of(repo))
    assert sweep_of(repo).plan.notes == [], "the results are no change of the code"
    code = {record["code"] for record in records(repo / "results")}
    assert len(code) == 1
    (first,) = code
    assert len(first) == 12

    (repo / "changing_experiment.py").write_text("def run(ctx):\n    return {'x': 2}\n")
    plan = sweep_of(repo).plan
    assert plan.count(Action.REUSE) == 2
    (note,) = plan.notes
    assert note.startswith(
        "2 runs that are reused or resumed were made by other code: changing_experiment.py ("
    )
    with pytest.raises(BadInput, match="on_code_change is 'stop', and 2 runs"):
        sweep_of(repo, on_code_change="stop")

    summary = run_session(sweep_of(repo, on_code_change="rerun"))
    assert (summary.succeeded, summary.reused) == (2, 0)
    assert sweep_of(repo, on_code_change="stop").plan.count(Action.REUSE) == 2
    git(repo, "commit", "-qam", "two")
    assert not sweep_of(repo).plan.notes, "a commit is no other code"
    (repo / "helper.py").write_text("")
    assert not sweep_of(repo).plan.notes, "nor is a file that nobody has loaded"

    (repo / "changing_experiment.py").write_text("def run(ctx):\n    return {'x': 3}\n")
    digest = str(sweep_of(repo).plan.runs[0].digest)
    session = sweep_of(repo)
    run_session(new_session(replace(session.request, only=frozenset([digest]))))
    capsys.readouterr()
    assert main(["results", str(repo / "results")]) == 0
    assert "runs were made by different code: 1 by " in capsys.readouterr().out


def test_what_a_sweep_was_started_with_is_kept_once(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo)
    monkeypatch.setenv("SOME_TOKEN", "hunter2hunter2")
    (repo / "changing_experiment.py").write_text(
        "def run(ctx):\n    key = 'hunter2hunter2'\n    return {'x': 2}\n"
    )
    (repo / "new.py").write_text("x = 1\n")
    (repo / "data.bin").write_bytes(b"\0" * 100)
    session = sweep_of(repo)
    session.warm()
    run_session(session)
    event = session.environment.event()
    assert event["git_dirty"] is True
    assert any(line.startswith("prefect==") for line in event["pip_freeze"])
    metas = [
        json.loads((one["dir"] / "meta.json").read_text()) for one in records(repo / "results")
    ]
    (reference,) = {meta["env_snapshot"] for meta in metas}
    place = repo / "results" / reference
    assert json.loads((place / "environment.json").read_text())["git_sha"] == event["git_sha"]
    diff = (place / "diff.patch").read_text()
    assert "+    return {'x': 2}" in diff
    assert "hunter2" not in diff
    assert (place / "untracked" / "new.py").read_text() == "x = 1\n"
    assert not (place / "untracked" / "data.bin").exists()
    assert verify(repo / "results").findings == []
    (place / "diff.patch").write_text("another")
    (finding,) = verify(repo / "results").findings
    assert finding.path == str(place / "diff.patch")


def test_snapshots_of_two_results_roots_hold_nothing_of_each_other(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo)
    (repo / "new.py").write_text("x = 1\n")
    codes = set()
    for _ in range(2):
        for name in ("results", "more/results"):
            forget_repos()
            session = sweep_of(repo, results_root=str(repo / name), fresh=True)
            session.warm()
            codes.add(session.plan.code)
            run_session(session)
    copies = [path.relative_to(repo) for path in repo.rglob("untracked/**/*") if path.is_file()]
    assert len(copies) == 4
    assert {path.name for path in copies} == {"new.py"}
    assert len(codes) == 1, "what another results root holds is no code of the sweep's"


def test_gathering_waits_for_nobody(results_root: Path) -> None:
    """A session that ends before anything was gathered leaves no process behind."""
    session = sweep(results_root)
    session.warm()
    process = session.environment._process
    assert process is not None
    began = time.monotonic()
    session.close()
    assert time.monotonic() - began < 9
    assert process.poll() is not None
    assert not os.path.exists(results_root)  # noqa: PTH110
