"""Scripts as experiments: how they end, what they say, what is left of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.planning.saved_request import load_request
from argus_tasks.planning.sweep_plan import Action
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import SweepSession, new_session
from argus_tasks.spec.time_limit import TimeLimit
from tests.support.processes import processes_with, wait_gone
from tests.support.scripts import make_scripts, metrics_of
from tests.support.sessions import records, request_for, run_configs, run_session
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[3]
MODES = ["process_pool", "sequential", "thread"]
SHELL = "command:sh job.sh {kind}"
PYTHON = "command:python job.py"

ENDINGS: dict[str, tuple[str, str | None, str | None, Any]] = {
    "lines": ("succeeded", None, None, {"loss": 0.25, "acc": 0.75}),
    "file": ("succeeded", None, None, {"loss": 0.125, "note": "x"}),
    "none": ("succeeded", None, None, None),
    "nan": ("succeeded", None, None, {"loss": None}),
    "odd": ("succeeded", None, None, None),
    "left": ("succeeded", None, None, {"left": 1}),
    "fail": ("failed", "exit 3", "ScriptFailed", None),
    "kill": ("failed", "signal SIGKILL", "ScriptFailed", None),
    "segv": ("failed", "signal SIGSEGV", "ScriptFailed", None),
    "list": ("failed", "TypeError", "TypeError", [1]),
    "skip": ("skipped", "skipped", "SkipRun", None),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    make_scripts(folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """In the environment of all that a test starts."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("ARGUS_TEST_THIS", mark)
    return mark


@pytest.mark.parametrize("mode", MODES)
def test_every_ending_is_named(mode: Any, results_root: Path, mark: str) -> None:
    configs = [{"kind": kind} for kind in ENDINGS]
    run_configs(configs, SHELL, results_root, mode=mode)
    found = {record["config"]["kind"]: record for record in records(results_root)}
    for kind, (status, cause, error_type, metrics) in ENDINGS.items():
        record = found[kind]
        said = (record["status"], record["cause"], record["error_type"])
        assert said == (status, cause, error_type), kind
        assert metrics_of(record) == metrics, kind
        assert (record["dir"] / "error.log").exists() is (status == "failed"), kind
    message = "the script ended: exit 3: ValueError: a bad value"
    assert found["fail"]["error_message"] == message
    assert (found["fail"]["dir"] / "error.log").read_text() == (
        f"{message}\n\nThe last lines of stderr:\nfirst\nValueError: a bad value\n"
    )
    log = (found["fail"]["dir"] / "run.log").read_text()
    assert "running sh job.sh fail\n" in log
    assert "out\n" in log
    assert "ValueError: a bad value\n" in log
    assert found["skip"]["error_message"] == "not today"
    points = (found["lines"]["dir"] / "metrics.jsonl").read_text().splitlines()
    assert [(p["step"], p["metrics"]) for p in map(json.loads, points)] == [
        (0, {"loss": 0.5}),
        (1, {"loss": 0.25}),
    ]
    assert "'METRIC loss: 1' cannot be read" in (found["odd"]["dir"] / "run.log").read_text()
    # What a script leaves running ends with its run.
    assert not [text for text in processes_with(mark).values() if "sleep 300" in text]


@pytest.mark.slow
def test_what_it_uses_is_its_own(results_root: Path, here: Path) -> None:
    (here / "uses.py").write_text(
        "import time\n"
        "block = bytearray(b'x' * 150_000_000)\n"
        "end = time.process_time() + 0.2\n"
        "while time.process_time() < end: pass\n"
    )
    for mode in ("process_pool", "thread"):
        run_configs([{"mode": mode}], "command:python uses.py", results_root, mode=mode)
    found = records(results_root)
    assert len(found) == 2
    for record in found:
        used = record["resources"]
        assert used["cpu_s"] >= 0.2, record["config"]
        assert used["peak_ram_mb"] >= 150, record["config"]
        assert used["peak_ram_mb"] < 400, record["config"]


@pytest.mark.slow
def test_a_small_scripts_memory_is_not_the_sweeps(results_root: Path, here: Path) -> None:
    ours = bytearray(b"x" * 300_000_000)  # Linux begins a child's peak at its parent's
    (here / "small.py").write_text(
        "import time; block = bytearray(b'x' * 50_000_000); time.sleep(2)\n"
    )
    (here / "itself.sh").write_text("exec python small.py\n")
    (here / "child.sh").write_text("python small.py; true\n")
    configs = [{"run": "itself.sh"}, {"run": "child.sh"}]
    run_configs(configs, "command:sh {run}", results_root, mode="thread")
    assert len(ours) == 300_000_000, "it is there until here"
    found = records(results_root)
    assert len(found) == 2
    for record in found:
        assert 50 <= record["resources"]["peak_ram_mb"] < 150, record["config"]


@pytest.mark.parametrize("mode", ["process_pool", "sequential"])
def test_what_is_named_is_tried_again(mode: Any, results_root: Path) -> None:
    run_configs(
        [{"kind": "flaky"}, {"kind": "fail"}],
        SHELL,
        results_root,
        mode=mode,
        max_attempts=2,
        retry_on=["exit 75"],
    )
    failed, flaky = records(results_root)
    assert (flaky["status"], flaky["attempt"], metrics_of(flaky)) == (
        "succeeded",
        2,
        {"attempt": 2},
    )
    assert not (flaky["dir"] / "error.log").exists()
    assert (failed["status"], failed["attempt"]) == ("failed", 1)


def test_the_same_again_reuses_it_also_without_its_file(results_root: Path, here: Path) -> None:
    file = here / "sweep.yaml"
    file.write_text("command: sh job.sh {kind}\ngrid: {kind: [lines, fail]}\n")
    run_session(new_session(request_for(file, None, results_root)))  # type: ignore[arg-type]
    session = new_session(request_for(file, None, results_root))  # type: ignore[arg-type]
    folder = session.folder
    session.close()
    for _ in range(2):
        plan = make_plan(load_request(folder))
        assert [run.action for run in plan.runs] == [Action.REUSE, Action.RUN]
        file.unlink(missing_ok=True)


def stopping(session: SweepSession, when: Callable[[], bool], then: Callable[[], None]) -> None:
    """Run the session, and stop it once the condition holds."""

    def stop() -> None:
        try:
            wait_for(when, 60)
        finally:
            session.stops.stop("user")
            then()

    stopper = threading.Thread(target=stop)
    stopper.start()
    run_session(session)
    stopper.join()


@pytest.mark.parametrize("mode", MODES)
def test_a_stop_is_a_term_and_the_next_start_goes_on(
    mode: Any, results_root: Path, marks: Path, mark: str
) -> None:
    config = {"marks": str(marks), "x": 0, "saves_s": 0.3}
    options: dict[str, Any] = {"mode": mode, "stop_grace_s": 60, "workers": 1}
    session = new_session(request_for([config], PYTHON, results_root, **options))
    stopping(session, (marks / "started-0").exists, lambda: None)
    (cut,) = records(results_root)
    assert (cut["status"], cut["cause"], cut["resumable"]) == ("failed", "stopped by user", True)
    assert (marks / "termed-0").read_text() == "x", "one TERM is one wish"
    if mode == "process_pool":
        wait_gone(mark, seconds=60)
    assert not [text for text in processes_with(mark).values() if "sleep(300)" in text]
    run_configs([config], PYTHON, results_root, **options)
    (record,) = records(results_root)
    assert (record["status"], record["attempt"], metrics_of(record)) == (
        "succeeded",
        2,
        {"resumed": 1},
    )


@pytest.mark.parametrize("mode", MODES)
def test_what_does_not_heed_a_stop_is_killed(
    mode: Any, results_root: Path, marks: Path, mark: str
) -> None:
    config = {"marks": str(marks), "x": 0, "heeds": False}
    options: dict[str, Any] = {"mode": mode, "stop_grace_s": 0.2, "workers": 1}
    session = new_session(request_for([config], PYTHON, results_root, **options))

    def kill() -> None:
        if mode == "process_pool":  # as the flow does when the grace is over
            time.sleep(0.2)
            session.end_workers(now=True)

    stopping(session, (marks / "started-0").exists, kill)
    (cut,) = records(results_root)
    assert (cut["status"], cut["cause"]) == ("failed", "stopped by user")
    assert not [text for text in processes_with(mark).values() if "job.py" in text]


class OnceStarted(TimeLimit):
    """Time is over as soon as both scripts have begun, however long that takes."""

    marks: Path

    def __init__(self, *_: object) -> None:
        super().__init__(None, "2x")

    def seconds(self) -> float | None:
        return 0.001 if len(list(self.marks.glob("started-*"))) == 2 else None


@pytest.mark.parametrize(
    "fresh_process", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["warm", "fresh"]
)
def test_time_that_is_over(
    fresh_process: bool,
    results_root: Path,
    marks: Path,
    mark: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OnceStarted, "marks", marks, raising=False)
    monkeypatch.setattr("argus_tasks.session.sweep_session.TimeLimit", OnceStarted)
    common = {"marks": str(marks)}
    run_configs(
        [{**common, "x": 0, "saves_s": 0.3}, {**common, "x": 1, "heeds": False}],
        PYTHON,
        results_root,
        stop_grace_s=3,
        fresh_process=fresh_process,
    )
    heeded, stubborn = sorted(records(results_root), key=lambda record: record["config"]["x"])
    for record in (heeded, stubborn):
        assert (record["status"], record["cause"]) == ("failed", "timeout")
        assert "started" in (record["dir"] / "error.log").read_text()
    # It has had its time to save, and was told once; what it started is gone with it.
    assert (marks / "termed-0").read_text() == "x"
    assert (heeded["dir"] / "checkpoints" / "saved").exists()
    assert not [text for text in processes_with(mark).values() if "sleep(300)" in text]


def test_workers_give_it_their_environment(
    results_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    run_configs([{"kind": "env"}], SHELL, results_root, workers=64)
    (record,) = records(results_root)
    assert metrics_of(record) == {"gpu": 7, "threads": 1}


@pytest.mark.slow
def test_in_the_callers_process_a_script_does_not_outlive_it(
    results_root: Path, marks: Path, mark: str
) -> None:
    """In mode `thread` nothing waits for what does not return."""
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from argus_tasks.session.attempt_runner import AttemptRunner\n"
        "from argus_tasks.session.sweep_session import SweepSession, new_session\n"
        "from tests.support.sessions import request_for\n"
        "config = {'marks': sys.argv[1], 'x': 0, 'heeds': False}\n"
        "root = Path(sys.argv[2])\n"
        "command = 'command:python job.py'\n"
        "session = new_session(request_for([config], command, root, mode='thread'))\n"
        "session.__enter__()\n"
        "run_one = AttemptRunner(session).run_one\n"
        "threading.Thread(target=run_one, args=(0, 1), daemon=True).start()\n"
        "while not Path(sys.argv[1], 'started-0').exists():\n"
        "    threading.Event().wait(0.01)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(marks), str(results_root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    wait_gone(mark, seconds=60)


def test_a_reporters_metrics_are_the_last_resort(results_root: Path, here: Path) -> None:
    (here / "reports.py").write_text(
        "import sys\n"
        "from argus_tasks import Reporter\n"
        "with Reporter('mine') as r, r.job('job') as j:\n"
        "    j.metrics({'loss': 0.5, 'of': 'reporter'})\n"
        "    j.metrics({'loss': 0.25})\n"
        "if sys.argv[1] == 'both':\n"
        "    print('METRIC acc=1')\n"
    )
    configs = [{"how": "both"}, {"how": "reporter"}]
    run_configs(configs, "command:python reports.py {how}", results_root)
    both, reporter = records(results_root)
    assert metrics_of(both) == {"acc": 1}
    assert metrics_of(reporter) == {"loss": 0.25, "of": "reporter"}
    assert not (reporter["dir"] / ".reported.jsonl").exists()


def test_a_debugged_script_has_the_terminal(here: Path) -> None:
    """Its output goes to the screen as well, its input is ours: breakpoint() works."""
    (here / "asks.py").write_text(
        "answer = input('well? ')\nprint()\nprint(f'METRIC answer={answer}')\n"
    )
    (here / "sweep.yaml").write_text("command: python asks.py\ngrid: {x: [1, 2]}\n")
    done = subprocess.run(
        [sys.executable, "-m", "argus_tasks", "debug", "sweep.yaml", "--config", "1"],
        input="42\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "well? \nMETRIC answer=42\n" in done.stdout
    assert "succeeded: {'answer': 42.0}" in done.stderr


INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support.sessions import request_for

marks, root = sys.argv[1:]
config = {"marks": marks, "x": 0, "heeds": False}
options = {"mode": "sequential", "stop_grace_s": 300}
session = new_session(request_for([config], "command:python job.py", Path(root), **options))

def interrupt():
    while not Path(marks, "started-0").exists():
        time.sleep(0.01)
    session.stops.stop("user")
    for _ in range(2):
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
with session:
    print(AttemptRunner(session).run_one(0, 1).ending.cause)
"""


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait(results_root: Path, marks: Path, mark: str) -> None:
    """In mode sequential the script's end is waited for in the caller's own thread."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(marks), str(results_root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "stopped by user\n", done.stderr
    wait_gone(mark, seconds=60)
