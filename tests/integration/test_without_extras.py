"""With none of the extras installed: everything else works, and what needs one names it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# What the extras bring, and what comes with it.
HIDDEN = (
    *("lightning", "pytorch_lightning", "torch", "keras", "hydra", "omegaconf", "optuna"),
    *("mlflow", "wandb", "dask", "distributed", "ray", "matplotlib", "scipy", "sklearn"),
    *("statsmodels", "pyarrow", "pandas", "polars", "numpy", "pynvml", "prefect_redis"),
)

# For every Python process below: as if they had not been installed.
SITE = f"""
import sys
from importlib.machinery import PathFinder

class Hiding:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in {HIDDEN!r}:
            return PathFinder.find_spec(name, path, target)

    find_distributions = PathFinder.find_distributions
    invalidate_caches = PathFinder.invalidate_caches

sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
"""

FILES = {
    "sitecustomize.py": SITE,
    "job.py": (
        "def run(ctx):\n"
        "    ctx.log_metric(0, {'loss': 1.0})\n"
        "    return {'loss': ctx.config['lr'] + ctx.config['seed']}\n"
    ),
    "app.py": "",
    "sweep.yaml": (
        "experiment: job:run\nresults_root: results\ngrid: {lr: [0.1, 0.01]}\nrepeats: 2\n"
    ),
    "script.yaml": (
        'command: "python -c \'print(\\"METRIC loss=\\" + str({lr}))\'"\n'
        "results_root: scripts\ngrid: {lr: [0.1, 0.01]}\n"
    ),
    "hydra.yaml": "experiment: hydra:app.py\ngrid: {lr: [1]}\n",
    "mlflow.yaml": "experiment: job:run\ngrid: {lr: [1]}\ntrackers: [mlflow]\n",
    "search.yaml": (
        "experiment: job:run\n"
        "search: {n_trials: 2, metric: loss, direction: min, space: {lr: {uniform: [0, 1]}}}\n"
    ),
    "wandb.yaml": "experiment: job:run\ngrid: {lr: [1]}\ntrackers: [wandb]\n",
}

# The extra, what asks for it, and the exit code.
COMMANDS: list[tuple[str, list[str], int]] = [
    ("hydra", ["plan", "hydra.yaml"], 2),
    ("mlflow", ["plan", "mlflow.yaml"], 2),
    ("wandb", ["plan", "wandb.yaml"], 2),
    ("optuna", ["plan", "search.yaml"], 2),
    ("dask", ["run", "sweep.yaml", "--mode", "dask"], 2),
    ("ray", ["run", "sweep.yaml", "--mode", "ray"], 2),
    ("report", ["report", "made"], 1),
    ("stats", ["compare", "made", "made"], 1),
    ("parquet", ["results", "made", "--parquet", "x.parquet"], 1),
]
IMPORTS: list[tuple[str, str]] = [
    (name, f"argus_tasks.integrations.{name}") for name in ("lightning", "keras", "hydra")
]

ASK = """
import contextlib, importlib, io, json, sys
from pathlib import Path
from argus_tasks.cli.main import main
from tests.support.sessions import run_configs
import job

run_configs([{"lr": lr, "seed": 0} for lr in (0.1, 0.2)], job.run, Path("made"))
said = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(words)
    said.append([code, err.getvalue()])
for name in json.loads(sys.argv[2]):
    try:
        importlib.import_module(name)
        said.append([0, "it imports"])
    except ImportError as error:
        said.append([1, str(error)])
Path("said.json").write_text(json.dumps(said))
"""


@pytest.fixture
def bare(tmp_path: Path) -> Any:
    """Run Python in a folder with the files, as if no extra were installed."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    root = Path(__file__).parents[2]

    def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, **environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return python


def test_what_needs_an_extra_names_it(bare: Any, tmp_path: Path) -> None:
    words = json.dumps([words for _, words, _ in COMMANDS])
    done = bare("-c", ASK, words, json.dumps([module for _, module in IMPORTS]))
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "said.json").read_text())
    expected = [(extra, code) for extra, _, code in COMMANDS] + [(extra, 1) for extra, _ in IMPORTS]
    for (extra, code), (exit_code, text) in zip(expected, said, strict=True):
        assert f"pip install 'argus-tasks[{extra}]'" in text, (extra, text)
        assert "Traceback" not in text
        assert exit_code == code, (extra, text)


@pytest.mark.slow
def test_everything_else_works(bare: Any, tmp_path: Path, api_url: str) -> None:
    for words in (
        ["run", "sweep.yaml"],
        ["run", "script.yaml", "--mode", "dynamic"],
        ["plan", "sweep.yaml"],
        ["results", "results", "--metric", "loss", "--csv", "table.csv"],
        ["verify", "results"],
        ["doctor"],
        ["status"],
        ["schema"],
    ):
        done = bare("-m", "argus_tasks", *words, PREFECT_API_URL=api_url)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    assert len(list((tmp_path / "results").glob("*/metrics.json"))) == 4
    assert len(list((tmp_path / "scripts").glob("*/metrics.json"))) == 2
