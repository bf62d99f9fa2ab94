"""What a worker process is: warm, of one attempt, or of some."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.planning.resolve import resolve
from tests.support import experiments
from tests.support.sessions import records, request_for, run_configs

CONFIGS = [{"x": x} for x in range(6)]


def metrics(results_root: Path) -> list[dict[str, Any]]:
    return [json.loads((r["dir"] / "metrics.json").read_text()) for r in records(results_root)]


def state(ctx: Any) -> dict[str, Any]:
    """Who runs this, on what, and whether somebody was here before."""
    before = getattr(sys, "_left_by_a_run", 0)
    sys._left_by_a_run = before + 1  # type: ignore[attr-defined]
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "before": before,
        "random": random.random(),
        "numpy": float(sys.modules["numpy"].random.rand()) if "numpy" in sys.modules else 0.0,
        "loaded": _LOADED,
    }


_LOADED = time.monotonic_ns()


def niceness(ctx: Any) -> dict[str, Any]:
    return {"nice": os.nice(0)}


@pytest.mark.parametrize("fresh", [False, True])
def test_workers_are_as_nice_as_the_option_says(results_root: Path, *, fresh: bool) -> None:
    run_configs(CONFIGS[:2], niceness, results_root, workers=1, fresh_process=fresh, nice=5)
    expected = min(19, os.nice(0) + 5)
    assert [found["nice"] for found in metrics(results_root)] == [expected] * 2


def heeds_a_term(ctx: Any) -> dict[str, Any]:
    """Says which process it is, and comes back in its own time after a TERM."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    Path(ctx.config["marks"], str(ctx.config["x"])).write_text(str(os.getpid()))
    while ctx.config["waits"] and not told:
        time.sleep(0.01)
    return {}


def test_a_worker_that_has_outlived_a_term_runs_nothing_more(
    results_root: Path, tmp_path: Path
) -> None:
    configs = [{"x": x, "waits": x == 0, "marks": str(tmp_path)} for x in range(2)]
    run_configs(configs, heeds_a_term, results_root, workers=1, timeout_s=2.0, stop_grace_s=30.0)
    assert (tmp_path / "0").read_text() != (tmp_path / "1").read_text()


def leaves_a_daemon(ctx: Any) -> dict[str, Any]:
    """The first one dies and leaves a process behind; the second one looks whether it is gone."""
    mark = Path(ctx.config["marks"], "daemon")
    if ctx.config["x"] == 0:
        daemon = subprocess.Popen(["sleep", "300"], start_new_session=True)
        mark.write_text(str(daemon.pid))
        os._exit(3)
    deadline = time.monotonic() + 30
    while Path("/proc", mark.read_text()).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return {"left": Path("/proc", mark.read_text()).exists()}


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_what_a_dead_worker_leaves_is_killed_while_the_sweep_goes_on(
    results_root: Path, tmp_path: Path
) -> None:
    configs = [{"x": x, "marks": str(tmp_path)} for x in range(2)]
    run_configs(configs, leaves_a_daemon, results_root, workers=1)
    (record,) = [each for each in records(results_root) if each["status"] == "succeeded"]
    assert json.loads((record["dir"] / "metrics.json").read_text()) == {"left": False}


def test_a_fresh_process_for_each_attempt_and_one_load_for_each_worker(results_root: Path) -> None:
    assert run_configs(CONFIGS, state, results_root, fresh_process=True).succeeded == 6
    found = metrics(results_root)
    assert len({each["pid"] for each in found}) == 6
    assert {each["before"] for each in found} == {0}
    assert len({each["loaded"] for each in found}) <= 2
    assert {each["pid"] for each in found}.isdisjoint(each["parent"] for each in found)
    assert len({each["random"] for each in found}) == 6


def test_random_numbers_differ_between_fresh_processes(results_root: Path, tmp_path: Path) -> None:
    # Modules that nobody imports twice: numpy is loaded before the fork, as a user's module does.
    pytest.importorskip("numpy")
    (tmp_path / "with_numpy.py").write_text(
        "import numpy.random\nfrom tests.unit.workers.test_processes import state\n"
    )
    experiment = f"{tmp_path}/with_numpy.py:state"
    assert run_configs(CONFIGS, experiment, results_root, fresh_process=True).succeeded == 6  # type: ignore[arg-type]
    found = metrics(results_root)
    assert len({each["numpy"] for each in found}) == 6
    # OpenBLAS ends its threads before a fork, so there is one load for each worker still.
    assert len({each["loaded"] for each in found}) <= 2


def test_with_a_thread_running_each_attempt_loads_for_itself(
    results_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "with_thread.py").write_text(
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "from tests.unit.workers.test_processes import state\n"
    )
    experiment = f"{tmp_path}/with_thread.py:state"
    assert run_configs(CONFIGS, experiment, results_root, fresh_process=True).succeeded == 6  # type: ignore[arg-type]
    found = metrics(results_root)
    assert len({each["pid"] for each in found}) == len({each["loaded"] for each in found}) == 6
    assert {each["before"] for each in found} == {0}


def test_a_worker_is_replaced_after_so_many_runs(results_root: Path) -> None:
    summary = run_configs(
        [{"x": x} for x in range(10)], state, results_root, workers=1, max_runs_per_worker=3
    )
    assert summary.succeeded == 10
    counted = Counter(each["pid"] for each in metrics(results_root))
    assert sorted(counted.values()) == [1, 3, 3, 3]


def test_a_multiple_of_the_median_ends_what_hangs(results_root: Path) -> None:
    configs = [{"x": x, "seconds": 0.05} for x in range(6)] + [{"x": 9, "seconds": 600}]
    summary = run_configs(configs, sleeper, results_root, timeout="3x", stop_grace_s=0.2)
    assert (summary.succeeded, summary.failed) == (6, 1)
    (hung,) = [r for r in records(results_root) if r["status"] == "failed"]
    assert (hung["cause"], hung["error_type"]) == ("timeout", "Timeout")
    assert hung["duration_sec"] < 300


def test_timeouts_and_deaths_are_retried_as_asked(results_root: Path) -> None:
    configs = [{"way": way, "succeeds_at": 2} for way in ("hang", "exit", "kill")]
    summary = run_configs(
        configs,
        dies_at_first,
        results_root,
        max_attempts=2,
        retry_on=["timeout", "exit 3", "signal SIGKILL"],
        not_on=["signal SIGKILL"],
        timeout_s=1.5,
        stop_grace_s=0.2,
    )
    assert (summary.succeeded, summary.failed) == (2, 1)
    found = {record["config"]["way"]: record for record in records(results_root)}
    assert [(way, found[way]["attempt"]) for way in ("hang", "exit", "kill")] == [
        ("hang", 2),
        ("exit", 2),
        ("kill", 1),
    ]
    # What is known of a death that was retried is in the log, and the run has no error.
    assert not (found["exit"]["dir"] / "error.log").exists()
    assert "ended: exit 3" in (found["exit"]["dir"] / "run.log").read_text()
    lines = (found["exit"]["dir"] / "events.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert [each for each in events if not each.startswith("run_")] == ["start", "retry", "end"]


def sleeper(ctx: Any) -> None:
    time.sleep(ctx.config["seconds"])


def dies_at_first(ctx: Any) -> None:
    if ctx.attempt < ctx.config["succeeds_at"]:
        if ctx.config["way"] == "hang":
            threading.Event().wait()
        if ctx.config["way"] == "exit":
            os._exit(3)
        os.kill(os.getpid(), 9)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout_s", 5.0),
        ("timeout", "5x"),
        ("fresh_process", True),
        ("max_runs_per_worker", 2),
        ("nice", 5),
    ],
)
def test_what_needs_workers_is_refused_where_there_are_none(
    key: str, value: Any, results_root: Path, tmp_path: Path
) -> None:
    for mode in ("sequential", "thread"):
        with pytest.raises(BadInput, match=f"{key} is .*, but mode '{mode}' has no worker"):
            request_for(CONFIGS, experiments.noop, results_root, mode=mode, **{key: value})
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps({"grid": {"x": [1]}, "execution": {key: value}}))
    request = resolve(file, experiments.noop, results_root=results_root)
    assert getattr(request.execution, key) == value
    request = resolve(file, experiments.noop, results_root=results_root, mode="sequential")
    assert not getattr(request.execution, key)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"timeout_s": 0}, "timeout_s is 0; expected a number above 0."),
        ({"timeout": "1x"}, 'timeout is "1x"; expected a multiple of the median'),
        ({"nice": 20}, "nice is 20; expected an integer from 0 to 19"),
        ({"max_runs_per_worker": 0}, "max_runs_per_worker is 0; expected an integer of 1 or more"),
    ],
)
def test_limits_that_are_none_are_refused(
    options: dict[str, Any], sentence: str, results_root: Path
) -> None:
    with pytest.raises(BadInput) as refused:
        request_for(CONFIGS, experiments.noop, results_root, **options)
    assert str(refused.value).startswith(sentence)


def test_a_segfault_while_loading_is_told_with_its_stack(
    results_root: Path, tmp_path: Path
) -> None:
    from argus_tasks.session.sweep_session import new_session

    (tmp_path / "bad_module.py").write_text("import ctypes\nctypes.string_at(0)\n")
    session = new_session(request_for(CONFIGS, f"{tmp_path}/bad_module.py:run", results_root))
    session.warm()
    try:
        with pytest.raises(BadInput, match=r"(?s)its process: signal SIGSEGV.*bad_module.py"):
            session.check()
    finally:
        session.close()
    assert not results_root.exists()
