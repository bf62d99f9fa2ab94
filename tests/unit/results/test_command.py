"""`argus-tasks results`: the table, CSV and JSON as a user gets them."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from argus_tasks.cli.main import main
from argus_tasks.results.tables.table import number_specs

MakeRun = Callable[..., Path]


@pytest.fixture
def results(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two models, two datasets, three seeds; a failure run again, a failure, an odd folder."""
    monkeypatch.chdir(tmp_path.parent)
    make_run({"model": "ridge", "dataset": "nile", "seed": 0, "epochs": 20}, status="failed")
    for model in ("ridge", "mlp"):
        for dataset in ("nile", "co2"):
            for seed in range(3):
                mse = 0.1 + 0.013 * seed + (model == "mlp") * 0.05 + (dataset == "co2") * 0.1
                make_run(
                    {"model": model, "dataset": dataset, "seed": seed, "epochs": 20},
                    {"mse": mse, "skill": 1 - mse, "n_params": 1234567},
                )
    make_run(
        {"model": "broken", "dataset": "nile", "seed": 0, "epochs": 20},
        status="failed",
        error_type="ValueError",
        error_message="no [such]\nlayer " + "x" * 200,
    )
    (tmp_path / "20260101_000000_00000abc").mkdir()
    return tmp_path.name


def test_the_table(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", results]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        f"{results}: 13 runs (1 older of the same configs left out): 12 succeeded, 1 failed",
        "by mse, lower is better (by its name; else --direction max); mean ± std of n runs",
        "all with epochs=20",
    ]
    assert lines[4:11] == [
        "#  model   dataset              mse         n   skill  n_params",
        "-  ------  -------  ---------------  --------  ------  --------",
        "1  ridge   nile     0.1130 ± 0.0130         3  0.8870   1234567",
        "2  mlp     nile     0.1630 ± 0.0130         3  0.8370   1234567",
        "3  ridge   co2      0.2130 ± 0.0130         3  0.7870   1234567",
        "4  mlp     co2      0.2630 ± 0.0130         3  0.7370   1234567",
        "-  broken  nile                   -  1 failed       -         -",
    ]
    assert lines[12].startswith("1 failed: ValueError: no [such] layer xxx")
    assert lines[13].startswith(f"  see {results}/20260101_000014_")
    assert lines[14].endswith("00000abc: it has no run.json: the run was killed as it started.")
    assert all(len(line) <= 100 for line in lines)


def test_top_and_group_by(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--metric", "skill", "--direction", "min", "--group-by", "model", "--top", "1"]
    assert main(["results", results, *arguments]) == 0
    out = capsys.readouterr().out
    assert "by skill, lower is better; mean" in out
    assert "1  mlp    0.7870 ± 0.0560  6" in out
    assert "ridge" not in out
    assert "2 more rows: without --top" in out


def test_csv_and_json_have_the_numbers_of_the_files(
    results: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", results, "--group-by", "model,dataset,seed", "--csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert main(["results", results, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    runs = {run["run_id"]: run for run in value["runs"]}
    files = {
        folder.name: json.loads((folder / "metrics.json").read_text())
        for folder in tmp_path.iterdir()
        if (folder / "metrics.json").exists()
    }
    assert len(files) == 12
    assert len(runs) == 13
    for run_id, metrics in files.items():
        config = runs[run_id]["config"]
        assert runs[run_id]["metrics"] == metrics
        [line] = [
            line
            for line in lines
            if [line["model"], line["dataset"], line["seed"]]
            == [config["model"], config["dataset"], str(config["seed"])]
        ]
        assert float(line["mse"]) == metrics["mse"]
        assert float(line["skill"]) == metrics["skill"]
        assert (line["mse_n"], line["mse_std"], line["epochs"]) == ("1", "", "20")
    [broken] = [line for line in lines if line["model"] == "broken"]
    assert (broken["rank"], broken["mse"], broken["mse_n"], broken["failed"]) == ("", "", "0", "1")
    first = value["groups"][0]
    assert first["rank"] == 1
    assert first["config"] == {"model": "ridge", "dataset": "nile"}
    members = [files[run_id]["mse"] for run_id in first["run_ids"]]
    assert first["metrics"]["mse"]["mean"] == pytest.approx(sum(members) / 3, rel=1e-15)
    assert value["odd_folders"][0]["path"].endswith("00000abc")


def test_csv_to_a_file_leaves_the_table(
    results: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "table.csv"
    assert main(["results", results, "--csv", str(target), "--json", str(tmp_path / "t.json")]) == 0
    assert "by mse" in capsys.readouterr().out
    assert target.read_text().startswith("rank,epochs,model,dataset,runs,succeeded,failed,")
    assert json.loads((tmp_path / "t.json").read_text())["metric"] == "mse"


def test_a_config_key_with_the_name_of_a_metric(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run({"mse": "huber", "rank": 3}, {"mse": 0.5})
    assert main(["results", str(tmp_path), "--csv"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header == (
        "rank,config.mse,config.rank,runs,succeeded,failed,skipped,running,code,mse,mse_std,"
        "mse_low,mse_high,mse_n"
    )
    assert line == "1,huber,3,1,1,0,0,0,,0.5,,,,1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is no folder 'nowhere'"),
        (["R", "--metric", "mze"], "Did you mean 'mse'?"),
        (["R", "--group-by", "modl"], "Did you mean 'model'?"),
        (["R", "--batch", "b"], "is of the batch 'b'; there are none."),
        (["R", "--top", "0"], "--top is 0; expected an integer of 1 or more."),
        (["R", "--csv", "-", "--json"], "--csv and --json go to the same place"),
        (["R", "--csv", "no/such/x.csv"], "'no/such/x.csv' cannot be written"),
    ],
)
def test_bad_input(
    arguments: list[str], words: str, results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", *(results if word == "R" else word for word in arguments)]) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.startswith("argus-tasks: ")
    assert caught.err.count("\n") == 1
    assert words in caught.err


def test_wide_configs_keep_within_the_width(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        config = {f"block.{key}": f"a rather long value number {index} of {key}" for key in "abcde"}
        metrics = {f"metric_number_{number}": index + number / 7 for number in range(9)}
        make_run(config, {"loss": index / 3, **metrics})
    assert main(["results", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("") + 1 :][:5]
    assert all(len(line) <= 100 for line in lines)
    assert len(table) == 5
    assert "more metrics, in --csv and --json: " in "\n".join(lines)


def test_settings_of_one_model_are_no_columns(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for dataset in ("nile", "co2"):
        make_run({"dataset": dataset, "model": "ridge", "penalty": 1}, {"mse": 20000.0})
        make_run({"dataset": dataset, "model": "naive"}, {"mse": 0.11164})
        for depth in (2, 3):
            make_run({"dataset": dataset, "model": "gbm", "depth": depth}, {"mse": 20.5 + depth})
    assert main(["results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "#  dataset  model  depth     mse  n" in out
    assert "1  nile     naive         0.1116  1" in out
    assert "3  nile     gbm    2       22.50  1" in out
    assert "7  nile     ridge          20000  1" in out
    assert "more config keys, in --csv and --json: penalty" in out
    assert main(["results", str(tmp_path), "--csv"]) == 0
    assert capsys.readouterr().out.startswith("rank,dataset,model,penalty,depth,")


def test_a_number_of_its_own_for_each_row_tells_nothing_of_other_keys(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run({"lr": 0.1, "momentum": 0.9}, {"mse": 1.5})
    make_run({"lr": 0.2}, {"mse": 2.5})
    assert main(["results", str(tmp_path)]) == 0
    assert "#   lr  momentum    mse  n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ([0.44238, 0.5], ["0.4424", "0.5000"]),
        ([12.3456, 1.5], ["12.35", "1.50"]),
        ([0.1116, 19994.5], ["0.1116", "19994"]),
        ([3, 1234567], ["3", "1234567"]),
        ([0.00012345], ["0.0001234"]),
        ([1.5e-6], ["1.500e-06"]),
        ([1.5e9, 0.0], ["1.500e+09", "0.000e+00"]),
        ([0.0], ["0"]),
        ([-0.05, 0.9], ["-0.0500", "0.9000"]),
        ([], []),
    ],
)
def test_digits(numbers: list[float], texts: list[str]) -> None:
    found = [f"{n:{spec}}" for n, spec in zip(numbers, number_specs(numbers), strict=True)]
    assert found == texts


def test_a_terminal_gets_colours_and_its_own_width(results: str) -> None:
    parent, child = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "argus_tasks", "results", results],
            stdout=child,
            env={**os.environ, "COLUMNS": "60", "TERM": "xterm-256color"},
            check=True,
        )
        os.close(child)
        out = b""
        try:
            while chunk := os.read(parent, 65536):
                out += chunk
        except OSError:  # what Linux says at a terminal's end
            pass
    finally:
        os.close(parent)
    assert done.returncode == 0
    text = out.decode()
    assert "\x1b[1;32m1  ridge   nile" in text
    assert "more metrics, in --csv and --json: n_params" in text


def test_results_loads_nothing_heavy(results: str) -> None:
    code = (
        "import sys\nfrom argus_tasks.cli.main import main\n"
        "main(['results', sys.argv[1], '--csv'])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'prefect', 'httpx', 'numpy', 'pandas', 'pydantic', 'yaml', 'rich'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, results], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
