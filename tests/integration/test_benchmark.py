"""The nightly benchmark on the forecast example: green, red where a model got worse, green."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.results.compare.baselines import read_baseline, set_baseline, side_of
from argus_tasks.runs.ledger.sweep_folder import batches
from tests.support.prefect_api import PrefectApi

ROOT = Path(__file__).parents[2]
SWEEP = """
name: forecast
experiment: experiment:run
results_root: results
base: {lags: 12}
grid: {dataset: [nile, elnino]}
variants:
  - {model: ridge, penalties: [1, 10]}
  - {model: mlp, hidden: 4, epochs: 5, batch_size: 32, learning_rate: 0.01}
repeats: 5
execution: {workers: 2}
"""
HONEST = "    return _network(weights, inputs)[1]\n"
WORSE = "    return 0.5 * _network(weights, inputs)[1] - 1.0\n"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the example that a test may break."""
    folder = tmp_path / "forecast"
    shutil.copytree(
        ROOT / "examples" / "forecast",
        folder,
        ignore=shutil.ignore_patterns("results", "__pycache__"),
    )
    (folder / "nightly.yaml").write_text(SWEEP)
    return folder


def night(api_url: str, folder: Path, **more: Any) -> dict[str, Any]:
    """Run one night; how its flow run ended."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from argus_tasks.flows.benchmark import benchmark_flow

    with temporary_settings({PREFECT_API_URL: api_url}):
        state = benchmark_flow(
            str(folder / "nightly.yaml"), **{"metric": "mse", **more}, return_state=True
        )
    return {"type": str(state.type.value), "name": state.name, "message": state.message}


def names(folder: Path) -> list[str]:
    found = [batch.state() for batch in batches(folder / "results")]
    return sorted(str(state["name"]) for state in found if state)


def test_a_regression_turns_it_red_and_undoing_it_green(api_url: str, example: Path) -> None:
    results, model = example / "results", example / "forecasters.py"
    honest = model.read_text()
    assert HONEST in honest

    first = night(api_url, example)
    assert (first["type"], first["name"]) == ("COMPLETED", "NoBaseline")
    [batch] = batches(results)
    assert batch.batch_id.startswith("forecast-benchmark-20")
    assert f"argus-tasks baseline set nightly {batch.batch_id} --results-root" in first["message"]
    set_baseline(results, "nightly", side_of(batch.batch_id, results))

    model.write_text(honest.replace(HONEST, WORSE))
    red = night(api_url, example)
    assert (red["type"], red["name"]) == ("FAILED", "Regression")
    assert "confirmed by a second run: nile mlp, elnino mlp" in red["message"]
    assert "of 4 cells 2 worse, 2 no evidence" in red["message"]
    assert names(example) == [
        "forecast-benchmark",
        "forecast-benchmark",
        "forecast-benchmark-confirmation",
    ]
    api = PrefectApi(api_url)
    confirmation = api.flow_run("forecast-benchmark-confirmation-")
    assert confirmation["state_type"] == "COMPLETED"
    assert len(api.task_runs(confirmation["id"], settled=10)) == 10  # the two cells alone
    [told] = [
        json.loads(path.read_text())
        for path in (results / ".sweep").glob("*/verdict.json")
        if json.loads(path.read_text())["confirmed"]
    ]
    assert [cell["model"] for cell in told["confirmed"]] == ["mlp", "mlp"]
    assert told["comparison"]["verdict"] == told["confirmation"]["verdict"] == "worse"

    model.write_text(honest)
    green = night(api_url, example)
    assert (green["type"], green["name"]) == ("COMPLETED", "Completed")
    assert green["message"] == "no evidence: of 4 cells 4 no evidence"
    assert names(example).count("forecast-benchmark-confirmation") == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_from_the_shell_the_exit_code_is_the_verdict(api_url: str, tmp_path: Path) -> None:
    (tmp_path / "experiment.py").write_text(
        "def run(ctx):\n    return {'loss': ctx.config['level'] + ctx.config['seed'] / 100}\n"
    )
    spec = tmp_path / "tiny.yaml"

    def benchmark(*words: str, level: int = 1) -> tuple[int, str]:
        spec.write_text(
            "{name: tiny, experiment: 'experiment:run', results_root: results, repeats: 5,"
            f" base: {{level: {level}, where: {{a: 1}}}}, ignore_keys: [level]}}"
        )
        done = subprocess.run(
            [sys.executable, "-m", "argus_tasks", "benchmark", str(spec), *words],
            env=os.environ | {"PREFECT_API_URL": api_url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    code, told = benchmark("--min-effect", "2 percent")
    assert (code, told) == (
        2,
        "argus-tasks: min-effect is '2 percent'; expected such as 2% or 0.01, 0 or more.\n",
    )
    assert not list(batches(tmp_path / "results"))
    code, told = benchmark("--move-baseline", "--baseline", "mine")
    assert code == 0, told
    assert "it is the baseline 'mine' now" in told
    before = len(list(batches(tmp_path / "results")))
    code, told = benchmark("--baseline", "mime", level=2)
    assert code == 2
    assert told.endswith("; there are mine. Did you mean 'mine'?\n")
    assert len(list(batches(tmp_path / "results"))) == before
    code, told = benchmark("--baseline", "mine", level=2)
    assert code == 1, told
    assert "confirmed by a second run" in told


@pytest.mark.slow
def test_what_else_a_night_can_come_to(api_url: str, example: Path) -> None:
    results, model = example / "results", example / "forecasters.py"
    sweep = example / "nightly.yaml"
    sweep.write_text(SWEEP.replace("dataset: [nile, elnino]", "dataset: [nile]"))
    bad = night(api_url, example, min_effect="2 percent")
    assert (bad["type"], "min-effect is '2 percent'" in bad["message"]) == ("FAILED", True)
    assert not results.exists()

    first = night(api_url, example, move_baseline=True)
    assert first["message"].endswith("it is the baseline 'nightly' now")
    assert "no run has a metric 'mze'" in night(api_url, example, metric="mze")["message"]
    mistyped = night(api_url, example, baseline="nigthly")
    assert (mistyped["type"], "there are nightly" in mistyped["message"]) == ("FAILED", True)
    assert len(names(example)) == 1

    better = night(api_url, example, metric="skill", direction="min")  # turned round
    assert better["name"] == "Completed"

    broken = model.read_text().replace(HONEST, "    raise ArithmeticError('broken')\n")
    model.write_text(broken)
    failed = night(api_url, example)
    assert (failed["type"], failed["name"]) == ("FAILED", "Failed")
    assert failed["message"].startswith("5 of 10 succeeded, 5 failed; no evidence: of 2 cells")
    assert read_baseline(results, "nightly").side.batch_id in first["message"]
