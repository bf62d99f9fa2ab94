"""Baselines keep what is needed, and the commands that use them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.main import main
from argus_tasks.results.compare.baselines import (
    check_baseline,
    read_baseline,
    set_baseline,
    side_of,
)
from argus_tasks.results.compare.sides import batch_side
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, SweepIdentity

VALUES = (1.00, 1.02, 0.98, 1.01, 0.99)


@pytest.fixture
def make_batch(make_run: Callable[..., Path]) -> Callable[..., list[Path]]:
    def make(batch_id: str, factor: float = 1.0, **more: Any) -> list[Path]:
        return [
            make_run(
                {"model": model, "dataset": "nile", "seed": seed},
                {"mse": value * (factor if model == "mlp" else 1.0)},
                batch_id=batch_id,
                digest=f"{model}-{seed}",
                **more,
            )
            for model in ("ridge", "mlp")
            for seed, value in enumerate(VALUES)
        ]

    return make


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out + err


def test_compare_and_its_exit_codes(
    make_batch: Callable[..., list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_batch("monday")
    make_batch("tuesday", 1.1)
    make_batch("wednesday")
    root = ("--results-root", tmp_path)
    code, out = run(capsys, "compare", "monday", "tuesday", *root)
    assert code == 1
    assert "worse: mse of mlp (+10.0%); of 2 cells 1 worse, 1 no evidence" in out
    assert run(capsys, "compare", "tuesday", "monday", *root)[0] == 0
    assert run(capsys, "compare", "monday", "wednesday", *root)[0] == 0
    assert run(capsys, "compare", "monday", "tuesday", "--min-effect", "15%", *root)[0] == 0
    assert run(capsys, "compare", "monday", "tuesday", "--metric", "duration_sec", *root)[0] == 0
    code, out = run(capsys, "compare", "monday", "tuesday", "--json", *root)
    assert (code, json.loads(out)["verdict"]) == (1, "worse")
    code, out = run(capsys, "compare", "monday", "tusday", *root)
    assert code == 2
    assert "there is no batch 'tusday'" in out
    assert "Did you mean 'tuesday'?" in out
    assert run(capsys, "compare", "monday", "tuesday", "--min-effect", "x", *root)[0] == 2
    assert run(capsys, "compare", "monday", "tuesday", "--allow", "x", *root)[0] == 2
    assert run(capsys, "compare", "a", "b", "--results-root", tmp_path / "none")[0] == 2


def test_nothing_comparable_has_a_code_of_its_own(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run({"a": 1}, {"mse": 1.0}, batch_id="one")
    make_run({"a": 1}, {"mse": 2.0}, batch_id="two")
    code, out = run(capsys, "compare", "one", "two", "--results-root", tmp_path)
    assert code == 3
    assert "not comparable, 1: too few repeats: 1, then 1; expected 3 or more" in out


def test_a_baseline_outlives_its_runs(
    make_batch: Callable[..., list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = make_batch("monday")
    for folder in folders:
        (folder / "meta.json").write_text(json.dumps({"host_kind": "H", "git_commit": "c" * 40}))
    root = ("--results-root", tmp_path)
    assert run(capsys, "baseline", "list", *root) == (
        0,
        f"there are no baselines under {tmp_path}; argus-tasks baseline set NAME BATCH\n",
    )
    code, out = run(capsys, "baseline", "set", "main", "monday", *root)
    assert code == 0
    assert out.startswith("main: monday, ")
    before = read_baseline(tmp_path, "main").side
    assert before.rows == batch_side(tmp_path, "monday").rows
    assert {row.host_kind for row in before.rows} == {"H"}
    for folder in folders:
        shutil.rmtree(folder)
    make_batch("tuesday", 1.1)
    code, out = run(capsys, "compare", "main", "tuesday", *root)
    assert code == 1
    assert "mlp (+10.0%)" in out
    assert "code cccccccccc" in out
    code, out = run(capsys, "baseline", "show", "main", *root)
    assert code == 0
    assert "ridge" in out
    assert run(capsys, "baseline", "list", *root)[1].startswith("main: monday, ")

    code, out = run(capsys, "baseline", "set", "main", "tuesday", *root)
    assert code == 2
    assert "there is a baseline 'main' already, of 'monday'; to replace it, add --move." in out
    assert run(capsys, "baseline", "set", "main", "tuesday", "--move", *root)[0] == 0
    assert run(capsys, "compare", "main", "tuesday", *root)[0] == 0
    assert run(capsys, "baseline", "remove", "main", *root)[0] == 0
    code, out = run(capsys, "baseline", "remove", "main", *root)
    assert code == 2
    assert "there is no baseline 'main'" in out


def test_a_benchmark_against_a_mistyped_baseline_starts_nothing(
    make_batch: Callable[..., list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab.py").write_text("def run(ctx):\n    return {'mse': 1.0}\n")
    file = tmp_path / "sweep.yaml"
    file.write_text("{experiment: 'lab:run', results_root: ., grid: {a: [1]}, repeats: 3}")
    make_batch("monday")
    set_baseline(tmp_path, "main", batch_side(tmp_path, "monday"))
    before = sorted(tmp_path.rglob("*"))
    code, out = run(capsys, "benchmark", file, "--baseline", "mian")
    assert code == 2
    assert out.endswith(f"'mian' under {tmp_path}; there are main. Did you mean 'main'?\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_baseline_that_is_to_be_made_need_not_be_there(
    make_batch: Callable[..., list[Path]], tmp_path: Path
) -> None:
    check_baseline(tmp_path, "first", may_make=False)
    make_batch("monday")
    set_baseline(tmp_path, "main", batch_side(tmp_path, "monday"))
    check_baseline(tmp_path, "main", may_make=False)
    check_baseline(tmp_path, "other", may_make=True)
    with pytest.raises(BadInput, match="there are main"):
        check_baseline(tmp_path, "other", may_make=False)
    with pytest.raises(BadInput, match="cannot be a baseline's name"):
        check_baseline(tmp_path, "a/b", may_make=True)


def test_baselines_that_cannot_be(make_run: Callable[..., Path], tmp_path: Path) -> None:
    make_run({"a": 1}, None, status="failed", batch_id="one")
    failed = batch_side(tmp_path, "one")
    with pytest.raises(BadInput, match="'one' has no run that succeeded"):
        set_baseline(tmp_path, "main", failed)
    for name in ("../out", "", ".hidden", "a/b"):
        with pytest.raises(BadInput, match="cannot be a baseline's name"):
            set_baseline(tmp_path, name, failed)
    folder = tmp_path / ".sweep" / "baselines"
    folder.mkdir(parents=True)
    (folder / "torn.json").write_text('{"name": "to')
    with pytest.raises(BadInput, match=r"torn\.json' cannot be read as a baseline"):
        read_baseline(tmp_path, "torn")


def test_all_of_a_side_is_kept(make_batch: Callable[..., list[Path]], tmp_path: Path) -> None:
    folders = make_batch("monday")
    side = replace(
        batch_side(tmp_path, "monday"),
        name="n",
        experiment="m:f",
        created_at="2026-01-01T00:00:00Z",
        ignore_keys=("gpu", "host.name"),
    )
    set_baseline(tmp_path, "main", side)
    for folder in folders:
        shutil.rmtree(folder)
    assert side_of("main", tmp_path) == side


def test_a_side_by_its_path(
    make_batch: Callable[..., list[Path]], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make_batch("monday")
    make_batch("tuesday", 1.1)
    path = set_baseline(tmp_path, "main", batch_side(tmp_path, "monday"))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    copy = elsewhere / "copy.json"
    shutil.copy(path, copy)
    assert len(side_of(str(copy), elsewhere).rows) == 10
    whole = side_of(str(tmp_path), elsewhere)
    assert {row.batch_id for row in whole.rows} == {"tuesday"}  # the newest of each config
    with pytest.raises(BadInput, match="there are no runs in"):
        side_of(str(elsewhere), tmp_path)


def test_what_a_batch_has_reused_is_its_own(make_run: Callable[..., Path], tmp_path: Path) -> None:
    config = {"a": 1, "seed": 0}
    make_run(config, {"mse": 1.0}, batch_id="old", digest="x", started_at="2025-01-01T00:00:00")
    good = make_run(
        config, {"mse": 2.0}, batch_id="old2", digest="x", started_at="2025-01-02T00:00:00"
    )
    own = make_run({"a": 2, "seed": 0}, {"mse": 3.0}, batch_id="new", digest="y")
    folder = SweepFolder(tmp_path, "new")
    folder.take()
    folder.open_session(SweepIdentity("p", "n", "m:f"), git_sha=None, created_by="me")
    folder.write_plan([{"digest": "x"}, {"digest": "y"}, {"digest": "z"}])
    folder.close()
    # A later, fresh run of the same config is none of this batch's business.
    make_run(config, {"mse": 9.0}, batch_id="later", digest="x", started_at="2999-01-01T00:00:00")
    side = batch_side(tmp_path, "new")
    assert [row.run_id for row in side.rows] == [good.name, own.name]
    assert (side.name, side.experiment) == ("n", "m:f")
