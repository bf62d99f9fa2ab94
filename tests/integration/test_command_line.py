"""`argus-tasks` as its user calls it: what it prints, what it returns, what it leaves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_stopping import wait_for
from tests.support.delivery import assert_accounts_meet

ROOT = Path(__file__).parents[2]

SWEEP = """\
name: lab
project: tests
experiment: lab:run
results_root: results
grid:
  model: [good, bad]
  lr: [0.1, 0.01]
repeats: 2
"""

LAB = """\
def run(ctx):
    if ctx.config["model"] == "bad" and ctx.config.get("fails"):
        raise ValueError("a bad model")
    return {"loss": ctx.config["lr"] + ctx.config["seed"] / 100}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "lab.py").write_text(LAB)
    return tmp_path


def command(folder: Path, *words: str, api_url: str = "") -> subprocess.CompletedProcess[str]:
    env = dict(os.environ) | ({"PREFECT_API_URL": api_url} if api_url else {})
    return subprocess.run(
        [sys.executable, "-m", "argus_tasks", *words],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_plan_says_what_would_run_and_writes_nothing(lab: Path) -> None:
    before = sorted(lab.rglob("*"))
    done = command(lab, "plan", "sweep.yaml")
    assert done.returncode == 0, done.stderr
    assert "8 to run" in done.stdout
    assert "good-s0-lr0.1" in done.stdout
    assert "... 2 more (--all lists them)" in done.stdout
    assert sorted(path for path in lab.rglob("*") if "__pycache__" not in str(path)) == before
    plan = json.loads(command(lab, "plan", "sweep.yaml", "--json").stdout)
    assert [config["action"] for config in plan["configs"]] == ["run"] * 8
    assert plan["configs"][0]["config"] == {"model": "good", "lr": 0.1, "seed": 0}


def test_run_then_plan_then_results(lab: Path, api_url: str) -> None:
    done = command(lab, "run", "sweep.yaml", "--workers", "2", api_url=api_url)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "lab: 8 configs, 2 workers"
    assert any(line.startswith("8 of 8 done") and "best loss 0.01" in line for line in lines)
    assert lines[-3].startswith("8 of 8 succeeded in 0:")
    (batch,) = [path.parent.name for path in lab.glob("results/.sweep/*/sweep.json")]
    assert lines[-2] == f"batch: {batch}"
    assert lines[-1] == f"results: {lab / 'results'}"
    assert done.stderr == ""

    assert "8 succeeded already, reused" in command(lab, "plan", "sweep.yaml").stdout
    again = command(lab, "run", "sweep.yaml", api_url=api_url)
    assert "8 of 8 succeeded (8 reused)" in again.stdout

    board = command(lab, "results", "results", "--json")
    groups = json.loads(board.stdout)["groups"]
    assert [group["runs"] for group in groups] == [2] * 4
    assert command(lab, "results", "nowhere").returncode == 2


def test_the_last_line_says_what_still_waits_for_the_monitor(
    lab: Path, api_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARGUS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "0.3")
    done = command(lab, "run", "sweep.yaml", "--workers", "2", api_url=api_url)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(
        r"monitor: (\d+) events wait on this disk; the next run sends them, or: argus-tasks"
        r" outbox send",
        last,
    )
    assert found, last
    (account,) = assert_accounts_meet(tmp_path / "outbox")
    assert int(found[1]) == account.waiting >= 8 * 2 + 2


def test_failures_are_told_and_counted(lab: Path, api_url: str) -> None:
    (lab / "sweep.yaml").write_text(SWEEP + "base: {fails: true}\n")
    done = command(lab, "run", "sweep.yaml", api_url=api_url)
    assert done.returncode == 1
    assert "4 of 8 succeeded, 4 failed" in done.stdout
    told = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert len(told) == 4
    assert "ValueError: a bad model" in told[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("grid:", "gird:"), ["sweep.yaml:5", "gird", "Did you mean 'grid'?"]),
        (("repeats: 2", "repeats: many"), ["sweep.yaml:8", "repeats", "many"]),
        (("lab:run", "lob:run"), ["lob:run", "no module 'lob'"]),
        (("lab:run", "lab:rum"), ["lab:rum", "Did you mean 'run'?"]),
        (("project: tests", "project: ${NOT_SET}"), ["sweep.yaml:2", "NOT_SET"]),
    ],
)
def test_bad_input_is_named_with_its_line_before_anything_is_written(
    change: tuple[str, str], words: list[str], lab: Path, api_url: str
) -> None:
    (lab / "sweep.yaml").write_text(SWEEP.replace(*change))
    done = command(lab, "run", "sweep.yaml", api_url=api_url)
    assert done.returncode == 2, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr
    assert not (lab / "results").exists()


def test_schema_and_help() -> None:
    schema = json.loads(command(ROOT, "schema").stdout)
    assert "experiment" in schema["properties"]
    shown = command(ROOT, "--help")
    assert shown.returncode == 0
    for word in ("run", "plan", "results", "schema", "130 stopped by Ctrl-C"):
        assert word in shown.stdout


def test_a_reader_that_has_seen_enough_is_no_error(lab: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m argus_tasks schema | head -1",
        shell=True,
        cwd=lab,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_a_terminal_that_cannot_show_a_letter_is_no_error(lab: Path) -> None:
    (lab / "sweep.yaml").write_text(SWEEP.replace("good", "gr\u00fcn"), encoding="utf-8")
    words = [sys.executable, "-m", "argus_tasks", "plan", "sweep.yaml"]
    env = dict(os.environ) | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, cwd=lab, env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"gr\xfcn" in done.stdout


def test_init_gives_a_sweep_that_runs(tmp_path: Path, api_url: str) -> None:
    done = command(tmp_path, "init", "mine")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines()[1:]:
        words = line.split()[1:]
        done = command(tmp_path, *words, api_url=api_url)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "12 runs: 12 succeeded" in done.stdout
    again = command(tmp_path, "init", "mine")
    assert again.returncode == 2
    assert "already has a sweep.yaml" in again.stderr


def test_debug_runs_one_config_here_and_leaves_the_results_alone(lab: Path) -> None:
    done = command(lab, "debug", "sweep.yaml", "--config", "good-s1-lr0.01")
    assert done.returncode == 0, done.stderr
    assert "succeeded: {'loss': 0.02}" in done.stderr
    assert not (lab / "results").exists()
    (lab / "sweep.yaml").write_text(SWEEP + "base: {fails: true}\n")
    done = command(lab, "debug", "sweep.yaml", "--config", "7")
    assert done.returncode == 1
    assert "ValueError: a bad model" in done.stderr
    done = command(lab, "debug", "sweep.yaml", "--config", "good-s1-lr0.02")
    assert done.returncode == 2
    assert "Did you mean 'good-s1-lr0.01'?" in done.stderr


def test_logs_by_folder_by_id_and_by_name(lab: Path, api_url: str) -> None:
    (lab / "lab.py").write_text(
        "import time\ndef run(ctx):\n    print('first', flush=True)\n    time.sleep(1.5)\n"
        "    print('last')\n"
    )
    sweep = subprocess.Popen(
        [sys.executable, "-m", "argus_tasks", "run", "sweep.yaml", "--workers", "8"],
        cwd=lab,
        env={**os.environ, "PREFECT_API_URL": api_url},
        stdout=subprocess.DEVNULL,
    )
    wait_for(lambda: any("first" in log.read_text() for log in lab.glob("results/*/run.log")))
    (log, *_) = (log for log in lab.glob("results/*/run.log") if "first" in log.read_text())
    where = ("--results-root", "results")
    followed = command(lab, "logs", log.parent.name, "-f", *where)
    assert followed.stdout == "first\nlast\n"
    assert sweep.wait(60) == 0
    assert command(lab, "logs", str(log.parent)).stdout == "first\nlast\n"
    assert command(lab, "logs", "good-s0-lr0.1", *where).stdout == "first\nlast\n"
    assert command(lab, "logs", "nobody", *where).returncode == 2


def test_a_reader_that_has_gone_does_not_end_the_sweep(lab: Path, api_url: str) -> None:
    (lab / "sweep.yaml").write_text(SWEEP + "base: {fails: true}\n")
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m argus_tasks run sweep.yaml | head -1",
        shell=True,
        executable="/bin/bash",
        cwd=lab,
        env={**os.environ, "PREFECT_API_URL": api_url},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(list((lab / "results").glob("*/run.json"))) == 8


def test_trackers_and_values_of_a_script_reach_the_workers(lab: Path, api_url: str) -> None:
    (lab / "script.py").write_text(
        "from dataclasses import dataclass\n"
        "from argus_tasks import sweep_flow\n"
        "@dataclass\n"
        "class Size:\n"
        "    n: int\n"
        "class Tracker:\n"
        "    def on_run_start(self, ctx, meta): (ctx.run_dir / 'told').write_text('yes')\n"
        "    def on_metric(self, ctx, event): pass\n"
        "    def on_run_end(self, ctx, summary): pass\n"
        "if __name__ == '__main__':\n"
        "    summary = sweep_flow([{'size': Size(3)}], lambda ctx: {'n': ctx.config['size'].n},\n"
        "                         trackers=[Tracker()], results_root='mine')\n"
        "    assert summary.ok, summary\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=lab,
        env={**os.environ, "PREFECT_API_URL": api_url},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (told,) = (lab / "mine").glob("*/told")
    assert told.read_text() == "yes"
