"""Sessions with real workers: what runs leave behind, what a death costs, what comes again."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.planning.sweep_plan import Action
from argus_tasks.runs.ledger.sweep_folder import batches, line_holds
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support import experiments
from tests.support.sessions import records, request_for, run_configs, run_session

MODES = ["sequential", "process_pool", "thread"]


@pytest.mark.parametrize("mode", MODES)
def test_a_run_leaves_the_folder_of_the_protocol(mode: Any, results_root: Path) -> None:
    summary = run_configs([{"x": 1, "seed": 3}], experiments.score, results_root, mode=mode)
    assert (summary.total, summary.succeeded, summary.failed) == (1, 1, 0)
    (record,) = records(results_root)
    folder: Path = record["dir"]
    assert record["status"] == "succeeded"
    assert record["run_id"] == folder.name
    assert record["batch_id"].startswith("sweep-"), "outside git an id is random"
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "run.json",
        "meta.json",
        "metrics.json",
        "metrics.jsonl",
        "events.jsonl",
        "artifacts",
        "checkpoints",
        "run.log",
    }
    assert json.loads((folder / "metrics.json").read_text()) == {"score": 2, "seed": 3}
    assert json.loads((folder / "meta.json").read_text())["seed"] == 3
    points = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(point["step"], point["metrics"], point["split"]) for point in points] == [
        (0, {"loss": 0.5}, "train"),
        (1, {"loss": 0.25}, "valid"),
    ]
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == [
        "run_start",
        "start",
        "metric",
        "metric",
        "end",
        "run_end",
    ]
    log = (folder / "run.log").read_text()
    assert "scoring {'x': 1, 'seed': 3}" in log
    assert ("printed" in log) is (mode != "thread")
    assert ("echo from a child" in log or "from a child process" in log) is (mode == "process_pool")


ENDINGS = [
    ("ok", "succeeded", None, None),
    ("none", "succeeded", None, None),
    ("nan", "succeeded", None, None),
    ("value_error", "failed", "ValueError", "ValueError"),
    ("list", "failed", "TypeError", "TypeError"),
    ("skip", "skipped", "skipped", "SkipRun"),
    ("exit", "failed", "SystemExit", "SystemExit"),
    ("interrupt", "failed", "KeyboardInterrupt", "KeyboardInterrupt"),
    ("os_exit", "failed", "exit 4", "WorkerDied"),
    ("kill", "failed", "signal SIGKILL", "WorkerDied"),
]


def test_every_ending_costs_one_run_and_is_named(results_root: Path) -> None:
    configs = [{"kind": kind} for kind, *_ in ENDINGS]
    summary = run_configs(configs, experiments.mixed, results_root)
    assert (summary.succeeded, summary.failed, summary.skipped) == (3, 6, 1)
    found = {record["config"]["kind"]: record for record in records(results_root)}
    for kind, status, cause, error_type in ENDINGS:
        record = found[kind]
        said = (record["status"], record["cause"], record["error_type"])
        assert said == (status, cause, error_type), kind
        assert (record["dir"] / "error.log").exists() is (status == "failed"), kind
        assert record["finished_at"] is not None
    assert sorted(summary.failed_run_ids) == sorted(
        found[kind]["run_id"] for kind, status, *_ in ENDINGS if status == "failed"
    )
    assert json.loads((found["nan"]["dir"] / "metrics.json").read_text()) == {
        "loss": None,
        "ok": 1.0,
    }
    assert "not finite" in (found["nan"]["dir"] / "run.log").read_text()
    assert not (found["none"]["dir"] / "metrics.json").exists()
    trace = (found["value_error"]["dir"] / "error.log").read_text()
    assert 'raise ValueError("a bad value")' in trace
    assert "attempt.py" not in trace


@pytest.mark.parametrize("mode", MODES)
def test_retries_use_the_same_folder(mode: Any, results_root: Path) -> None:
    configs = [{"succeeds_at": 3}, {"succeeds_at": 9}]
    summary = run_configs(
        configs,
        experiments.flaky,
        results_root,
        mode=mode,
        max_attempts=3,
        retry_on=["OSError"],
    )
    assert (summary.succeeded, summary.failed) == (1, 1)
    third, never = records(results_root)
    assert (third["status"], third["attempt"], third["retry_count"]) == ("succeeded", 3, 2)
    assert (never["status"], never["attempt"], never["retry_count"]) == ("failed", 3, 2)
    for record, kinds in (
        (third, ["retry", "retry", "end"]),
        (never, ["retry", "retry", "error", "end"]),
    ):
        lines = (record["dir"] / "events.jsonl").read_text().splitlines()
        events = [json.loads(line)["event"] for line in lines]
        assert [event for event in events if not event.startswith("run_")] == ["start", *kinds]
    assert not (third["dir"] / "error.log").exists()


def test_what_is_not_named_is_not_retried(results_root: Path) -> None:
    run_configs(
        [{"succeeds_at": 2}],
        experiments.flaky,
        results_root,
        max_attempts=3,
        retry_on=["ValueError"],
    )
    assert records(results_root)[0]["attempt"] == 1


def test_workers_stay_warm_and_know_neither_prefect_nor_the_network(results_root: Path) -> None:
    run_configs([{"x": x} for x in range(8)], experiments.pid, results_root)
    metrics = [json.loads((r["dir"] / "metrics.json").read_text()) for r in records(results_root)]
    assert len(metrics) == 8
    assert len({entry["pid"] for entry in metrics}) <= 2
    assert os.getpid() not in {entry["pid"] for entry in metrics}
    assert not any(entry["prefect"] or entry["httpx"] for entry in metrics)


def make_adder(amount: int) -> Callable[[Any], dict[str, Any]]:
    return lambda ctx: {"sum": ctx.config["x"] + amount}


def test_closures_run_in_workers(results_root: Path) -> None:
    assert run_configs([{"x": 1}], make_adder(41), results_root).succeeded == 1
    (record,) = records(results_root)
    assert json.loads((record["dir"] / "metrics.json").read_text()) == {"sum": 42}


def test_an_experiment_that_does_not_load_is_told_before_anything_is_written(
    results_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.chdir(tmp_path)
    session = new_session(request_for([{"x": 1}], "broken:run", results_root))
    session.warm()
    try:
        with pytest.raises(BadInput, match="No module named 'nowhere_to_be_found'"):
            session.check()
    finally:
        session.close()
    assert not results_root.exists()


def test_the_same_again_reuses_leaves_and_reruns(results_root: Path) -> None:
    configs = [{"kind": kind} for kind in ("ok", "skip", "value_error")]
    run_configs(configs, experiments.mixed, results_root)
    first = {r["config"]["kind"]: r["run_id"] for r in records(results_root)}
    plan = make_plan(request_for(list(reversed(configs)), experiments.mixed, results_root))
    assert [run.action for run in plan.runs] == [Action.RUN, Action.LEAVE, Action.REUSE]
    summary = run_configs(configs, experiments.mixed, results_root)
    assert (summary.succeeded, summary.reused, summary.skipped, summary.failed) == (1, 1, 1, 1)
    again = [r for r in records(results_root) if r["config"]["kind"] == "value_error"]
    assert len(again) == 2
    (newer,) = [r for r in again if r["run_id"] != first["value_error"]]
    assert newer["parent_run_id"] == first["value_error"]
    assert newer["batch_id"] == again[0]["batch_id"] == again[1]["batch_id"]


def test_fresh_reuses_nothing(results_root: Path) -> None:
    run_configs([{"x": 1}], experiments.noop, results_root)
    summary = run_configs([{"x": 1}], experiments.noop, results_root, fresh=True)
    assert (summary.succeeded, summary.reused) == (1, 0)
    assert len({record["batch_id"] for record in records(results_root)}) == 2


def test_equal_configs_are_one(results_root: Path) -> None:
    plan = make_plan(request_for([{"x": 1}, {"x": 1.0}, {"x": 2}], experiments.noop, results_root))
    assert (len(plan.runs), plan.duplicates) == (2, 1)


def test_the_ledger_has_a_line_for_each_start_and_end(results_root: Path) -> None:
    run_configs([{"succeeds_at": 2}], experiments.flaky, results_root, max_attempts=2)
    (ledger,) = results_root.glob(".sweep/*/ledger.jsonl")
    lines = ledger.read_text().splitlines()
    assert all(line_holds(line) for line in lines)
    facts = [json.loads(line) for line in lines]
    assert [(f["event"], f["attempt"], f["status"]) for f in facts] == [
        ("started", 1, "running"),
        ("ended", 1, "failed"),
        ("started", 2, "running"),
        ("ended", 2, "succeeded"),
    ]


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


@pytest.mark.parametrize("heeds_stop", [True, False])
@pytest.mark.parametrize("mode", ["process_pool", "thread"])
def test_a_stop_cuts_runs_and_the_next_start_takes_them_up(
    mode: Any, heeds_stop: bool, results_root: Path, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    base = {"marks": str(marks), "heeds_stop": heeds_stop, "seconds": 12}
    configs = [{**base, "x": x} for x in range(4)]
    options: dict[str, Any] = {"mode": mode, "stop_grace_s": 0.0}
    session = new_session(request_for(configs, experiments.slow, results_root, **options))

    def stop() -> None:
        wait_for(lambda: len(list(marks.iterdir())) == 2)
        session.stops.stop("user")
        if not heeds_stop:
            session.end_workers(now=True)

    stopper = threading.Thread(target=stop)
    stopper.start()
    began = time.monotonic()
    summary = run_session(session)
    stopper.join()
    assert time.monotonic() - began < 11
    assert (summary.succeeded, summary.stopped, summary.not_started) == (0, 2, 2)
    cut = records(results_root)
    assert [(r["status"], r["cause"], r["error_type"], r["resumable"]) for r in cut] == [
        ("failed", "stopped by user", "Stopped", True)
    ] * 2

    again = [
        {**config, "heeds_stop": False, "seconds": 0} for config in configs
    ]  # other configs: nothing of them is known
    plan = make_plan(request_for(again, experiments.slow, results_root, **options))
    assert plan.count(Action.RUN) == 4
    plan = make_plan(request_for(configs, experiments.slow, results_root, **options))
    assert (plan.count(Action.RESUME), plan.count(Action.RUN)) == (2, 2)
    assert {run.known.run_id for run in plan.runs if run.known} == {r["run_id"] for r in cut}


def test_a_resumed_run_goes_on_in_its_folder(results_root: Path, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    config = {"marks": str(marks), "heeds_stop": True, "x": 0}
    session = new_session(request_for([config], resumable, results_root))
    stopper = threading.Timer(
        0.0, lambda: (wait_for(lambda: any(marks.iterdir())), session.stops.stop("user"))
    )
    stopper.start()
    run_session(session)
    stopper.join()
    summary = run_configs([config], resumable, results_root)
    assert (summary.succeeded, summary.failed) == (1, 0)
    (record,) = records(results_root)
    assert (record["status"], record["attempt"], record["resumable"]) == ("succeeded", 2, False)
    assert json.loads((record["dir"] / "metrics.json").read_text()) == {"saved": "yes"}


def resumable(ctx: Any) -> dict[str, Any]:
    if ctx.resumed:
        return {"saved": (ctx.checkpoints_dir / "saved").read_text()}
    return experiments.slow(ctx)


def test_a_worker_that_dies_after_its_last_word_has_succeeded(results_root: Path) -> None:
    summary = run_configs([{"x": 1}], dies_late, results_root)
    assert summary.succeeded == 1


def dies_late(ctx: Any) -> dict[str, Any]:
    def end() -> None:
        while json.loads((ctx.run_dir / "run.json").read_text())["status"] != "succeeded":
            time.sleep(0.0001)
        os.kill(os.getpid(), signal.SIGKILL)

    from argus_tasks.workers.isolation import worker

    worker.send = lambda *_: time.sleep(60)  # type: ignore[assignment]
    threading.Thread(target=end).start()
    return {"x": 1}


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, os, time\n"
        "from pathlib import Path\n"
        "from tests.support import experiments\n"
        "from tests.support.sessions import run_configs\n"
        "base = {'marks': sys.argv[1]}\n"
        "run_configs([{**base, 'x': 0}, {**base, 'x': 1}], experiments.slow, Path(sys.argv[2]))\n"
    )
    marks = tmp_path / "marks"
    marks.mkdir()
    mark = uuid.uuid4().hex
    env = {**os.environ, "ARGUS_TEST_THIS": mark}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(marks), str(tmp_path / "results")], env=env
    )
    try:
        wait_for(lambda: len(list(marks.iterdir())) == 2, 30)
        assert len(with_mark(mark)) >= 3
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    wait_for(lambda: not with_mark(mark), 30)


def with_mark(value: str) -> list[int]:
    mark = f"ARGUS_TEST_THIS={value}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_a_batch_is_run_by_one_process_at_a_time(results_root: Path) -> None:
    request = request_for([{"x": 1}], experiments.noop, results_root, batch_id="one-batch")
    first, second = new_session(request), new_session(request)
    with first:
        with pytest.raises(BadInput, match=f"is being run by process {os.getpid()} on"):
            second.__enter__()
        second.close()
    with new_session(request):
        pass


def test_a_run_whose_owner_lives_is_left_alone(results_root: Path, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    config = {"marks": str(marks), "x": 0, "seconds": 0.5}
    session = new_session(request_for([config], experiments.slow, results_root, name="first"))
    runner = threading.Thread(target=run_session, args=(session,))
    runner.start()
    wait_for(lambda: any(marks.iterdir()))
    plan = make_plan(request_for([config], experiments.slow, results_root, name="second"))
    assert [run.action for run in plan.runs] == [Action.RUN]
    runner.join()


@pytest.mark.parametrize("mode", ["sequential", "thread"])
def test_an_exit_is_the_experiments_own_in_every_mode(mode: Any, results_root: Path) -> None:
    configs = [{"kind": kind} for kind in ("exit", "interrupt", "ok")]
    summary = run_configs(configs, experiments.mixed, results_root, mode=mode)
    assert (summary.succeeded, summary.failed, summary.not_started) == (1, 2, 0)
    causes = {r["config"]["kind"]: r["cause"] for r in records(results_root)}
    assert causes == {"exit": "SystemExit", "interrupt": "KeyboardInterrupt", "ok": None}


def test_a_config_that_cannot_be_sent_costs_its_run(results_root: Path) -> None:
    configs: list[dict[str, Any]] = [{"x": 1, "lock": threading.Lock()}, {"x": 2}]
    summary = run_configs(configs, experiments.noop, results_root)
    assert (summary.succeeded, summary.failed) == (1, 1)


def test_a_retry_that_succeeds_leaves_no_error_log(results_root: Path) -> None:
    config = {"succeeds_at": 2}
    run_configs([config], experiments.flaky, results_root)
    (failed,) = records(results_root)
    assert (failed["dir"] / "error.log").exists()
    path = failed["dir"] / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "resumable": True}))
    run_configs([config], experiments.flaky, results_root)
    (taken_up,) = records(results_root)
    assert taken_up["status"] == "succeeded"
    assert not (taken_up["dir"] / "error.log").exists()


def planned(root: Path) -> SweepSession:
    """Outside git, where a new batch has a random id."""
    request = request_for([{"x": 1}], experiments.noop, root, name="s", mode="thread")
    assert make_plan(request).git_sha is None
    return new_session(request)


def test_two_starts_at_once_make_one_batch(results_root: Path) -> None:
    first, second, third = (planned(results_root) for _ in range(3))
    with first:
        with pytest.raises(BadInput, match=f"batch {first.plan.batch_id} is being run by process"):
            second.__enter__()
        second.close()
        AttemptRunner(first).run_one(0, 1)
    with pytest.raises(BadInput, match=f"batch {first.plan.batch_id} was started a moment ago"):
        third.__enter__()
    third.close()
    summary = run_session(planned(results_root))
    assert (summary.reused, summary.succeeded) == (1, 1)
    assert [folder.batch_id for folder in batches(results_root)] == [first.plan.batch_id]
    (folder,) = batches(results_root)
    assert len(folder.sessions()) == 2


def test_of_many_processes_that_start_at_once_one_runs(results_root: Path) -> None:
    """All have planned before any has begun."""
    go, ready = os.pipe(), os.pipe()
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                session = planned(results_root)
                os.write(ready[1], b"r")
                os.read(go[0], 1)
                with session:
                    AttemptRunner(session).run_one(0, 1)
                code = 0
            except BadInput:
                code = 2
            finally:
                os._exit(code)
        children.append(child)
    for _ in children:
        os.read(ready[0], 1)
    os.write(go[1], b"g" * len(children))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(codes) == [0, 2, 2, 2, 2, 2]
    assert len(batches(results_root)) == 1
    for descriptor in (*go, *ready):
        os.close(descriptor)
