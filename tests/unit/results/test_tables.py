"""Runs as tables: DataFrames, Parquet, matrices, LaTeX and Markdown."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow.parquet
import pytest
from scipy import stats

import argus_tasks
from argus_tasks.base.errors import BadInput
from argus_tasks.cli.main import main
from argus_tasks.results.read.rows import Rows
from argus_tasks.results.stats.quantiles import t_975
from argus_tasks.results.tables.frames import records, results, typed_columns
from argus_tasks.results.tables.leaderboard import leaderboard, spread
from argus_tasks.results.tables.pivot import keys_of, pivot
from argus_tasks.results.tables.render import plain_lines, print_leaderboard
from argus_tasks.results.tables.table import Column
from tests.unit.results.sides import row

MakeRun = Callable[..., Path]


@pytest.fixture
def some_runs(make_run: MakeRun, tmp_path: Path) -> Path:
    for dataset, scale in (("nile", 100.0), ("co_2", 1.0)):
        for model, value in (("ridge", 1.0), ("mlp|x", 2.0), ("gbm", 3.0)):
            for seed in (0, 1, 2):
                make_run(
                    {"model": model, "dataset": dataset, "seed": seed, "layers": [8, 8]},
                    {"mse": scale * (value + seed / 8 + 0.0001), "deep": {"a": seed}},
                    resources={"peak_ram_mb": 50 + seed, "cpu_s": 1.0},
                )
    make_run({"model": "naive", "dataset": "nile", "seed": 0}, None, status="failed", cause="oom")
    return tmp_path


def test_a_data_frame(some_runs: Path) -> None:
    frame = argus_tasks.results(some_runs)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.shape[0] == 19
    first = frame.iloc[0]
    assert (first["model"], first["mse"], first["deep.a"]) == ("ridge", pytest.approx(100.01), 0)
    assert (first["peak_ram_mb"], first["duration_sec"]) == (50.0, 60.0)
    assert list(frame["cause"])[-1] == "oom"
    means = frame[frame.status == "succeeded"].groupby("model")["mse"].mean()
    assert means["ridge"] == pytest.approx(50.5 * 1.1251)
    other = results(some_runs, kind="polars")
    assert isinstance(other, polars.DataFrame)
    assert other.shape == frame.shape
    assert other["mse"].to_list()[:18] == frame["mse"].to_list()[:18]
    assert other["layers"].to_list()[0] == "[8, 8]"
    assert len(argus_tasks.results(some_runs, kind="rows")) == 19
    with pytest.raises(BadInput, match="kind is 'numpy'; expected pandas, polars, rows"):
        results(some_runs, kind="numpy")  # type: ignore[arg-type]


def test_plain_rows_where_no_library_is_there(some_runs: Path) -> None:
    code = (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in sys.argv[2:]:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda n, p=None: None if n in sys.argv[2:] else real(n, p)\n"
        "import argus_tasks\n"
        "import argus_tasks.results.read.rows\n"
        "from argus_tasks import results\n"
        "assert results is argus_tasks.results and argus_tasks.results.read.rows.load_rows\n"
        "print(type(results(sys.argv[1])).__module__.split('.')[0], 'scipy' in sys.modules)\n"
    )

    def kind(*hidden: str) -> str:
        words = [sys.executable, "-c", code, str(some_runs), *hidden]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert kind("pandas") == "polars False"
    assert kind("pandas", "polars") == "builtins False"


def test_names_that_two_have() -> None:
    [found] = records([row({"mse": "huber", "status": "x", "a": {"b": 1}}, {"mse": 0.5})])
    assert found["config.mse"] == "huber"
    assert found["metric.mse"] == 0.5
    assert (found["config.status"], found["status"]) == ("x", "succeeded")
    assert found["a.b"] == 1


def test_columns_are_of_one_type() -> None:
    found = typed_columns(
        [
            {"mixed": 1, "number": 1, "flag": True, "text": "a", "big": 10**400, "whole": 1},
            {"mixed": "a", "number": 1.5, "flag": None, "text": None, "big": 1.0, "whole": 2},
        ]
    )
    assert found["mixed"] == ["1", "a"]
    assert found["number"] == [1.0, 1.5]
    assert found["flag"] == [True, None]
    assert found["whole"] == [1, 2]
    assert [type(value) for value in found["big"]] == [str, str]


def test_parquet(some_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "runs.parquet"
    assert main(["results", str(some_runs), "--parquet", str(target)]) == 0
    table = pyarrow.parquet.read_table(target)
    assert table.num_rows == 19
    assert table.column("mse").to_pylist()[0] == pytest.approx(100.01)
    assert not list(tmp_path.glob("*.tmp"))
    capsys.readouterr()
    assert main(["results", str(some_runs), "--parquet", str(tmp_path / "no" / "x")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_matrix_says_over_what_else_than_seeds_its_means_are(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lr in (1, 2):
        make_run({"model": "a", "data": "x", "lr": lr, "seed": lr}, {"mse": lr})
        make_run({"model": "b", "data": "x", "lr": 1, "only": 1, "seed": lr}, {"mse": lr})
    assert main(["results", str(tmp_path), "--pivot", "model,data"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "mean ± std over the seeds and over lr"


def test_a_matrix(some_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["results", str(some_runs), "--pivot", "model,dataset"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mse, lower is better; * best, ! worst of a dataset"
    assert lines[2].split() == ["model", "nile", "co_2"]
    assert lines[4].split() == ["ridge", "112.5", "±", "12.5", "*", "1.125", "±", "0.125", "*"]
    assert lines[6].split()[-1] == "!"
    assert lines[7].split() == ["naive"]
    assert main([*words, "--latex"]) == 0
    text = capsys.readouterr().out
    assert r"\textbf{112.5 $\pm$ 12.5} & \textbf{1.125 $\pm$ 0.125} \\" in text
    assert r"co\_2" in text
    assert main([*words, "--markdown"]) == 0
    text = capsys.readouterr().out
    assert "| ridge | **112.5 ± 12.5** | **1.125 ± 0.125** |" in text
    assert "| mlp\\|x |" in text
    assert main([*words, "--direction", "max", "--markdown"]) == 0
    assert "| gbm | **312.5 ± 12.5** |" in capsys.readouterr().out


def test_rows_of_different_code_are_marked(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def board() -> str:
        assert main(["results", str(tmp_path)]) == 0
        return capsys.readouterr().out

    one, two = "2e0bdbe46b2d", "2e0bdbe46b2d+0a1b2c3d"
    make_run({"x": 1, "seed": 0}, {"m": 1.0}, code=one)
    make_run({"x": 2, "seed": 0}, {"m": 2.0}, code=one)
    assert ["#", "x", "m", "n"] in [line.split() for line in board().splitlines()]
    make_run({"x": 1, "seed": 1}, {"m": 1.0}, code=two)
    make_run({"x": 3, "seed": 0}, {"m": 3.0}, code=two)
    make_run({"x": 4, "seed": 0}, status="failed", code="none that counts")
    lines = [line.split() for line in board().splitlines()]
    assert ["#", "x", "m", "code", "n"] in lines
    shown = [(line[1], line[-2], line[-1]) for line in lines if line[-1:] == ["1"]]
    assert shown == [("1", one, "1"), ("1", two, "1"), ("2", one, "1"), ("3", two, "1")]
    assert "runs were made by different code" in " ".join(" ".join(line) for line in lines)
    assert main(["results", str(tmp_path), "--csv"]) == 0
    codes = [row["code"] for row in csv.DictReader(capsys.readouterr().out.splitlines())]
    assert codes == [one, two, one, two, ""]


def test_the_leaderboard_for_a_paper(some_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", str(some_runs), "--markdown", "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| # | model | dataset | mse | n |")
    assert lines[1].startswith("| --: | :-- | :-- | --: | --: |")
    assert main(["results", str(some_runs), "--latex", str(some_runs / "board.tex")]) == 0
    assert (some_runs / "board.tex").read_text().startswith(r"\begin{tabular}{rllrr")
    assert main(["results", str(some_runs), "--latex", "--csv"]) == 2


def test_keys_of_a_matrix(some_runs: Path) -> None:
    assert keys_of(" model, dataset") == ("model", "dataset")
    for bad in ("model", "a,b,c", "a,", "a,a"):
        with pytest.raises(BadInput, match="expected two config keys"):
            keys_of(bad)
    rows = argus_tasks.results.read.load.load_batch(some_runs)[0].rows  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="no run has a config key 'modle'"):
        pivot(rows, "modle", "dataset")
    found = pivot(rows, "model", "dataset", "mse")
    assert [found.best(0), found.worst(0)] == [{0}, {2}]


def test_time_and_memory_in_the_leaderboard(some_runs: Path) -> None:
    rows = argus_tasks.results.read.load.load_batch(some_runs)[0].rows  # type: ignore[attr-defined]
    board = leaderboard(rows, "peak_ram_mb")
    assert (board.direction, board.direction_is) == ("min", "by its name")
    assert board.groups[0].metrics["peak_ram_mb"].mean == 51
    assert "peak_ram_mb" not in leaderboard(rows).metrics


def test_the_interval_is_student_s() -> None:
    for df in range(1, 400):
        assert t_975(df) == pytest.approx(stats.t.ppf(0.975, df), abs=1e-5)
    values = [1.0, 2.0, 4.0, 8.0]
    found = spread(values)
    assert found is not None
    low, high = stats.t.interval(0.95, 3, loc=3.75, scale=stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    one = spread([1.0])
    assert one is not None
    assert (one.low, one.high) == (None, None)


def test_json_has_the_interval(some_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", str(some_runs), "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(told["groups"][0]["metrics"]["mse"]) == {"mean", "std", "low", "high", "n"}


def test_each_cell_is_measured_once_however_many_rows_are_printed() -> None:
    looked: list[int] = []

    class Cell(str):
        def __len__(self) -> int:
            looked.append(1)
            return super().__len__()

    cells = tuple(Cell(number) for number in range(500))
    assert len(plain_lines([Column("x", cells), Column("y", cells, is_text=True)])) == 502
    assert len(looked) == 2 * 500


def test_a_board_of_many_runs_costs_no_more_a_run() -> None:
    def calls(runs: int) -> int:
        rows = [
            row({"x": n, "model": f"m{n % 7}", "seed": n % 3}, {"mse": n / 7}) for n in range(runs)
        ]
        count = 0

        def profiled(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(profiled)
        try:
            print_leaderboard(leaderboard(rows), Rows(tuple(rows), ()), root="r", out=StringIO())
        finally:
            sys.setprofile(None)
        return count

    assert calls(1600) < 4.5 * calls(400)
