"""The benchmarks' own parts: what they time, what they conclude, and that they clean up."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import overhead
from benchmarks.harness import (
    Contestant,
    ContestantFailed,
    in_turns,
    ratios,
    summary,
    table,
)
from benchmarks.overhead_report import complete, overhead_figures, report, summaries
from benchmarks.overhead_round import Task
from benchmarks.prefect_server import EmbeddedServer, PrefectServer, StockServer, clean_environment


def contestant(code: str, timeout_s: float = 20) -> Contestant:
    return Contestant([sys.executable, "-c", code], dict(os.environ), timeout_s)


def test_a_contestant_is_timed_to_its_line_and_to_its_end() -> None:
    code = "import time; print('{\"a\": 1}', flush=True); time.sleep(0.6); sum(range(10**7))"
    with contestant(code) as running:
        assert running.told() == {"a": 1}
        told_at = time.time()
        finished = running.finished()
    assert finished.exited_at - told_at > 0.5
    assert finished.exited_at > finished.spawned_at
    assert 0.05 < finished.cpu_s < 10


def test_what_others_say_before_the_line_is_passed_over() -> None:
    with contestant("print('sampling ...'); print(); print('{\"a\": 1}', flush=True)") as running:
        assert running.told() == {"a": 1}
        running.finished()


def test_the_cpu_of_a_contestants_children_counts() -> None:
    code = (
        "import subprocess, sys;"
        "subprocess.run([sys.executable, '-c', 'sum(range(2 * 10**7))']);"
        "print('{}', flush=True)"
    )
    with contestant(code) as running:
        running.told()
        with_child = running.finished().cpu_s
    with contestant("print('{}', flush=True)") as running:
        running.told()
        assert running.finished().cpu_s < with_child / 2


def test_a_contestant_that_dies_is_told_with_its_last_words() -> None:
    with (
        contestant("raise SystemExit('no disk left')") as running,
        pytest.raises(ContestantFailed, match="no disk left"),
    ):
        running.told()
    with contestant("print('{}', flush=True); raise SystemExit(7)") as running:
        running.told()
        with pytest.raises(ContestantFailed, match="exit 7"):
            running.finished()


def test_a_contestant_that_hangs_is_ended_with_its_children() -> None:
    code = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)']);"
        "print(child.pid, file=sys.stderr, flush=True); time.sleep(30)"
    )
    with (
        contestant(code, timeout_s=1) as running,
        pytest.raises(ContestantFailed, match=r"told nothing within 1 s:\n(\d+)") as caught,
    ):
        running.told()
    child = int(str(caught.value).split()[-1])
    end = time.monotonic() + 10
    while _alive(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_turns_alternate_after_a_warm_up() -> None:
    turns = list(in_turns("AB", 2))
    assert turns == [(0, "A"), (0, "B"), (1, "A"), (1, "B"), (2, "A"), (2, "B")]


def test_ratios_are_taken_by_rounds() -> None:
    # Round 2 was slow for both: a ratio of medians would say otherwise.
    assert ratios([1, 20, 3], [2, 20, 2]) == {"min": 0.5, "median": 1, "max": 1.5}
    assert summary([3.00004, 1, 2]) == {"min": 1, "median": 2, "max": 3}
    with pytest.raises(ValueError, match="longer"):
        ratios([1], [1, 2])


def test_a_table_is_aligned() -> None:
    lines = table(["name", "n"], [["a", "10"], ["longer", "5"]]).splitlines()
    assert lines == ["name     n", "----------", "a       10", "longer   5"]


def test_turns_that_do_not_fit_into_the_limit_are_not_begun() -> None:
    turns = in_turns("AB", 50, limit_s=0.3)
    begun = []
    for turn, _ in turns:
        begun.append(turn)
        time.sleep(0.02)
    assert 1 in begun  # one counts, whatever the limit
    assert begun[-1] < 50
    assert begun.count(begun[-1]) == 2  # none is left half done
    assert [turn for turn, _ in in_turns("A", 2, limit_s=0)] == [0, 1]


def round_of(
    turn: int, work_ms: float, caught_up_ms: float | None = 5.0, recorded: int = 10
) -> dict:
    return {
        "turn": turn,
        "n": 10,
        "succeeded": 10,
        "task_runs": 10,
        "recorded": recorded,
        "work_ms": work_ms,
        "caught_up_ms": caught_up_ms,
        "exit_ms": 6.0,
        "flow_cpu_ms": 1.0,
        "rest_cpu_ms": 1.0,
        "server_cpu_ms": 1.0,
        "cpu_ms": 3.0,
        "peak_mb": 50.0,
    }


def test_what_the_server_lost_is_no_figure() -> None:
    rounds = {
        "ours": [round_of(1, 2), round_of(2, 3)],
        "ztxexp": [round_of(1, 1), round_of(2, 4)],
        "prefect-threads-best": [round_of(1, 1), round_of(2, 1, None, recorded=7)],
        "submitit": [round_of(2, 6)],
    }
    found = overhead_figures(rounds, "overhead.10")
    assert found["overhead.10.ztxexp.work"] == {
        "unit": "ratio",
        "pairs": 2,
        "min": 0.75,
        "median": 1.375,
        "max": 2,
    }
    best = {key for key in found if "best" in key}
    assert best == {
        f"overhead.10.prefect-threads-best.{of}" for of in ("work", "exit", "cpu", "server_cpu")
    }
    assert found["overhead.10.submitit.work"]["median"] == 0.5  # its neighbour is turn 2's
    assert found["overhead.10.work_s"]["median"] == 0.025
    del rounds["submitit"]
    result = {
        "figures": found,
        "contestants": {
            name: {"rounds": each, "summary": summaries(each)} for name, each in rounds.items()
        },
    }
    assert not complete(result)
    row = next(line for line in report(result).splitlines() if line.startswith("prefect-thr"))
    assert "never" in row
    assert row.endswith("70 %")
    del result["contestants"]["prefect-threads-best"]
    assert complete(result)


def test_a_contestant_that_was_left_out_is_said() -> None:
    result = {"figures": {}, "contestants": {"ours": {"rounds": [], "summary": {}}}}
    assert not complete(result)
    assert report(result).splitlines()[-1].endswith("left out")


def test_nobodys_settings_reach_a_contestant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://example.invalid/api")
    monkeypatch.setenv("ARGUS_URL", "http://example.invalid")
    monkeypatch.setenv("LANG", "C")
    environment = clean_environment(tmp_path)
    assert "PREFECT_API_URL" not in environment
    assert "ARGUS_URL" not in environment
    assert environment["LANG"] == "C"
    assert environment["XDG_STATE_HOME"].startswith(str(tmp_path))


def test_an_unknown_contestant_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        overhead.main(["--only", "our"])
    assert caught.value.code == 2
    assert "--only our: expected some of ours, ztxexp" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kind", [StockServer, EmbeddedServer])
def test_a_server_of_its_own_is_ended_and_counts_what_it_was_sent(
    kind: type[PrefectServer], tmp_path: Path
) -> None:
    code = (
        "from benchmarks import plain_prefect; plain_prefect.threads_best(12, 2);"
        "print('{}', flush=True)"
    )
    since = time.time()
    with kind(tmp_path) as server:
        pid = server.pid
        environment = {**clean_environment(tmp_path / "home"), **server.environment(ours=False)}
        before = server.cpu_s()
        with Contestant([sys.executable, "-c", code], environment, 60) as running:
            running.told()
            running.finished()
        end = time.monotonic() + 20
        while server.recorded(server.flow_runs_since(since)) < 12 and time.monotonic() < end:
            time.sleep(0.1)
        assert server.recorded(server.flow_runs_since(since)) == 12
        assert server.recorded(server.flow_runs_since(time.time() + 60)) == 0
        assert server.cpu_s() > before
        said = server.post("/task_runs/filter", {"limit": 1})
        assert said[0]["state_type"] == "COMPLETED"
    assert not psutil.pid_exists(pid)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_overhead_benchmark_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "overhead.json"
    names = ["ours", "ztxexp", "prefect-threads-best", "prefect-threads-docs", "prefect-processes"]
    words = ["--n", "20", "--pairs", "1", "--json", str(file), "--only", *names]
    assert overhead.main(words) == 0
    shown = capsys.readouterr().out
    result = json.loads(file.read_text())
    assert list(result["contestants"]) == names
    for name, each in result["contestants"].items():
        (figures,) = each["rounds"]
        assert name in shown
        assert figures["succeeded"] == figures["n"]
        assert figures["recorded"] == figures["task_runs"]
        assert 0 < figures["work_ms"] <= figures["return_ms"] + 1e-3
        assert figures["return_ms"] <= figures["caught_up_ms"]
        assert figures["return_ms"] <= figures["exit_ms"]
        assert 20 < figures["peak_mb"] < 2000
        assert bool(figures["server_cpu_ms"]) == bool(figures["task_runs"])
        assert f"overhead.20.{name}.work" in result["figures"] or name == "ours"
    assert result["machine"]["cores"] >= 1
    assert result["versions"]["prefect"][0].isdigit()
    assert result["server"]["settings"]["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_other_peers_do_all_the_work() -> None:
    wanted = {"ztxexp-sequential", "ztxexp-joblib", "ztxexp-dynamic", "joblib-docs", "joblib-best"}
    wanted |= {"dask-docs", "dask-best", "submitit"}
    entries = [entry for entry in overhead.OTHERS if entry.name in wanted]
    entries.append(overhead.Entry("gnu-parallel", "", {"PATH": "/nowhere"}))
    result = overhead.compare(tuple(entries), Task(10, 2), 1, warm=False)
    contestants = result["contestants"]
    assert "no GNU Parallel" in contestants.pop("gnu-parallel")["missing"]
    assert set(contestants) == wanted
    for name, each in contestants.items():
        assert "missing" not in each, f"{name}: {each.get('missing')}"
        (figures,) = each["rounds"]
        assert (figures["succeeded"], figures["n"]) == (10, 10)
        assert figures["work_ms"] > 0
