"""Runs are read from their folders, ours and those of other tools, whole or odd."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.results.read.load import load_batch
from argus_tasks.results.read.newest import newest_rows
from argus_tasks.results.read.rows import load_rows

PEER = """
import sys
from ztxexp import ExpRunner
from ztxexp.runner import SkipRun

def run(ctx):
    if ctx.config["model"] == "broken":
        raise ValueError("no such layer")
    if ctx.config["model"] == "skipped":
        raise SkipRun("not for this data")
    if ctx.config["model"] == "silent":
        return None
    return {"mse": 1 / (3 + ctx.config["seed"]), "nested": {"a": 2}}

configs = [
    {"model": model, "seed": seed, "optim": {"lr": 0.1}}
    for model in ("good", "broken", "skipped", "silent")
    for seed in (0, 1)
]
ExpRunner(configs, sys.argv[1], run).run(max_attempts=2)
"""


@pytest.fixture(scope="module")
def peer_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results root that ztxexp really wrote."""
    root = tmp_path_factory.mktemp("peer") / "results"
    subprocess.run([sys.executable, "-c", PEER, str(root)], check=True, capture_output=True)
    return root


def test_runs_of_another_tool(peer_results: Path) -> None:
    loaded = load_rows(peer_results)
    assert loaded.odd == ()
    assert len(loaded.rows) == 8
    for row in loaded.rows:
        run = json.loads((row.path / "run.json").read_text())
        assert row.run_id == run["run_id"] == row.path.name
        assert row.status == run["status"]
        assert row.started_at == run["started_at"]
        assert row.finished_at == run["finished_at"]
        assert row.duration_sec == run["duration_sec"]
        assert row.attempt == run["attempt"]
        assert row.config == json.loads((row.path / "config.json").read_text())
        assert (row.batch_id, row.digest, row.job_id, row.cause) == (None, None, None, None)
    by_model = {row.config["model"]: row for row in loaded.rows}
    assert by_model["good"].metrics["nested"] == {"a": 2}
    assert by_model["silent"].metrics == {}
    assert by_model["silent"].status == "succeeded"
    assert by_model["skipped"].status == "skipped"
    broken = by_model["broken"]
    assert (broken.error_type, broken.error_message) == ("ValueError", "no such layer")
    assert broken.attempt == 2


def test_the_keys_of_our_runs(make_run: Callable[..., Path], tmp_path: Path) -> None:
    keys = {"batch_id": "b-1", "digest": "d" * 64, "job_id": "j-1", "cause": "oom"}
    make_run({"a": 1}, None, status="failed", parent_run_id="p", **keys)
    [row] = load_rows(tmp_path).rows
    assert {key: getattr(row, key) for key in keys} == keys
    assert row.parent_run_id == "p"


def test_metrics_of_an_earlier_attempt_are_not_those_of_a_failed_run(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run({"a": 1}, {"mse": 0.1}, status="failed")
    assert load_rows(tmp_path).rows[0].metrics == {}


def test_odd_folders_are_told_and_the_others_read(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run({"a": 1}, {"mse": 1.0})
    no_json, no_config, no_mapping, no_status, no_metrics = (
        make_run({"a": n}, {"mse": 1.0}) for n in range(5)
    )
    (no_json / "run.json").write_text('{"status": "succ')
    (no_config / "config.json").unlink()
    (no_mapping / "run.json").write_text("[1]")
    (no_status / "run.json").write_text('{"status": "done"}')
    (no_metrics / "metrics.json").write_bytes(b"\xff{}")
    half = tmp_path / "20260101_000000_00000abc"
    half.mkdir()
    (tmp_path / "plots").mkdir()
    (tmp_path / ".sweep" / "b").mkdir(parents=True)
    (tmp_path / ".sweep" / "run.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("x")
    loaded = load_rows(tmp_path)
    assert {folder.path: folder.sentence for folder in loaded.odd} == {
        half: "it has no run.json: the run was killed as it started.",
        no_json: "its run.json cannot be read: it is not JSON.",
        no_config: "its config.json cannot be read: No such file or directory.",
        no_mapping: "its run.json cannot be read: it holds a list.",
        no_status: "its run.json has the status 'done'.",
        no_metrics: "its metrics.json cannot be read: it is not JSON.",
    }
    assert len(loaded.rows) == 3


def test_values_of_the_wrong_kind_do_no_harm(make_run: Callable[..., Path], tmp_path: Path) -> None:
    make_run({"a": 1}, {}, duration_sec="1", attempt=None, started_at=5, error_type=["x"])
    [row] = load_rows(tmp_path).rows
    assert (row.duration_sec, row.attempt, row.started_at, row.error_type) == (None, 1, None, None)


def test_bad_folders(make_run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no folder"):
        load_rows(tmp_path / "nowhere")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(BadInput, match="cannot be read as a folder: Not a directory"):
        load_rows(file)
    with pytest.raises(BadInput, match="there are no runs in"):
        load_batch(tmp_path)
    run = make_run({"a": 1})
    with pytest.raises(BadInput, match="is a run folder; expected the results root"):
        load_batch(run)


def test_each_file_is_read_once_and_nothing_else(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run({"a": 1}, {"mse": 1.0})
    (folder / "artifacts" / "deep").mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("{}\n")
    code = (
        "import sys\nfrom argus_tasks.results.read.rows import load_rows\nopened = []\n"
        "sys.addaudithook(lambda name, args: opened.append((name, str(args[0])))"
        " if name in ('open', 'os.scandir', 'os.listdir') else None)\n"
        "load_rows(sys.argv[1])\n"
        "print('\\n'.join(f'{name} {path}' for name, path in opened))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        f"os.scandir {tmp_path}",
        *(
            f"open {folder / name}"
            for name in ("run.json", "config.json", "metrics.json", "meta.json")
        ),
    ]


def test_only_the_newest_run_of_a_config_counts(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run({"a": 1, "b": {"c": 1}}, status="failed")
    again = make_run({"b": {"c": 1.0}, "a": 1}, {"mse": 1})
    other = make_run({"a": 2}, status="failed")
    rows = load_rows(tmp_path).rows
    assert [row.run_id for row in newest_rows(rows)] == [again.name, other.name]
    loaded, superseded = load_batch(tmp_path)
    assert [row.run_id for row in loaded.rows] == [again.name, other.name]
    assert superseded == 1


def test_the_digest_decides_where_there_is_one(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run({"a": 1, "device": "cpu"}, {"m": 1}, digest="x", batch_id="1", job_id="j")
    last = make_run({"a": 1, "device": "cuda"}, {"m": 2}, digest="x", batch_id="2", job_id="j")
    other = make_run({"a": 1, "device": "cuda"}, {"m": 3}, digest="y", batch_id="1", job_id="k")
    kept = newest_rows(load_rows(tmp_path).rows)
    assert [row.run_id for row in kept] == [last.name, other.name]


def test_another_tools_run_counts_until_ours_has_its_config(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    ours = make_run({"a": 1}, {"m": 1}, digest="x", batch_id="1", job_id="j")
    make_run({"a": 1.0}, {"m": 2})
    theirs = make_run({"a": 2}, {"m": 2})
    kept = newest_rows(load_rows(tmp_path).rows)
    assert [row.run_id for row in kept] == [ours.name, theirs.name]


def test_newest_is_by_time_and_not_by_name(make_run: Callable[..., Path], tmp_path: Path) -> None:
    late = make_run({"a": 1}, {"m": 1}, started_at="2026-02-01T00:00:00.000000+00:00")
    make_run({"a": 1}, {"m": 2})
    assert [row.run_id for row in newest_rows(load_rows(tmp_path).rows)] == [late.name]


def test_who_names_a_parent_is_newer_than_it_whatever_the_clock_says(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    late = {"started_at": "2026-02-01T00:00:00.000000+00:00", "digest": "x", "batch_id": "1"}
    first = make_run({"a": 1}, status="failed", job_id="j", **late)
    again = make_run(
        {"a": 1}, {"m": 2}, parent_run_id=first.name, digest="x", batch_id="2", job_id="j"
    )
    assert [row.run_id for row in newest_rows(load_rows(tmp_path).rows)] == [again.name]


def test_equal_configs_of_one_batch_are_different_jobs(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    old = {"digest": "x", "batch_id": "1"}
    new = {"digest": "x", "batch_id": "2"}
    make_run({"a": 1}, {"m": 1}, job_id="j-1", **old)
    failed = make_run({"a": 1}, None, status="failed", job_id="j", **new)
    two = make_run({"a": 1}, {"m": 1}, job_id="j-2", **new)
    retried = make_run({"a": 1}, {"m": 1}, job_id="j.b", parent_run_id=failed.name, **new)
    kept = newest_rows(load_rows(tmp_path).rows)
    assert [row.run_id for row in kept] == [two.name, retried.name]


def test_one_batch(make_run: Callable[..., Path], tmp_path: Path) -> None:
    old = make_run({"a": 1}, {"m": 1}, batch_id="batch-one", digest="x")
    make_run({"a": 1}, {"m": 1}, batch_id="batch-two", digest="x")
    loaded, superseded = load_batch(tmp_path, "batch-one")
    assert [row.run_id for row in loaded.rows] == [old.name]
    assert superseded == 0
    with pytest.raises(BadInput, match=r"there are batch-one, batch-two\. Did you mean 'batch-on"):
        load_batch(tmp_path, "batch-onn")


def test_a_file_that_cannot_be_opened_is_told(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run({"a": 1}, {"m": 1})
    (folder / "run.json").unlink()
    (folder / "run.json").mkdir()
    assert [odd.sentence for odd in load_rows(tmp_path).odd] == [
        "its run.json cannot be read: Is a directory."
    ]
