"""One sweep of 12 configs, given in every way there is: the same leaderboard."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from argus_tasks.results.read.load import load_batch
from argus_tasks.results.tables.leaderboard import Leaderboard, leaderboard
from argus_tasks.session.sweep_session import new_session
from tests.support.sessions import request_for, run_session

EXAMPLES = Path(__file__).parents[3] / "examples"

# What examples/script and examples/hydra_app compute, as a function.
FUNCTION = """
import random

def run(ctx):
    config = ctx.config
    noise = random.Random(config["seed"])
    xs = [i / 40 * 2 - 1 for i in range(40)]
    points = [(x, 2.0 * x + -1.0 + noise.gauss(0, 0.1)) for x in xs]
    keep = 0.8 if config["optim"] == "momentum" else 0.0
    a = b = step_a = step_b = 0.0
    for _ in range(config["epochs"]):
        errors = [(a * x + b - y, x) for x, y in points]
        step_a = keep * step_a - config["lr"] * sum(2 * e * x for e, x in errors) / 40
        step_b = keep * step_b - config["lr"] * sum(2 * e for e, _ in errors) / 40
        a, b = a + step_a, b + step_b
    mse = sum((a * x + b - y) ** 2 for x, y in points) / 40
    return {"mse": mse, "error_a": abs(a - 2.0)}
"""

# The same configs, as the trials of a search.
SEARCH = """
experiment: fit:run
base: {epochs: 20}
search:
  sampler: grid
  metric: mse
  direction: min
  space:
    optim: {choice: [sgd, momentum]}
    lr: {choice: [0.3, 0.1, 0.03]}
    seed: {int: [0, 1]}
execution: {workers: 2}
"""


def places(found: Leaderboard) -> list[Any]:
    """What a leaderboard says; its metrics as far as all of them have them."""
    return [
        (group.config, group.metrics["mse"], group.metrics["error_a"]) for group in found.groups
    ]


def swept(folder: Path, text: str | None = None) -> list[Any]:
    """The leaderboard of the folder's sweep file, with another text for what is run."""
    file = folder / "sweep.yaml"
    lines = file.read_text().splitlines()
    if text is not None:
        lines = [text if line.startswith(("command:", "experiment:")) else line for line in lines]
        file.write_text("\n".join(lines) + "\n")
    results = folder / "results"
    summary = run_session(new_session(request_for(file, None, results)))  # type: ignore[arg-type]
    assert (summary.total, summary.succeeded) == (12, 12)
    return places(leaderboard(load_batch(results)[0].rows, metric="mse"))


def test_the_same_leaderboard(tmp_path: Path) -> None:
    for name in ("script", "hydra_app"):
        leave = shutil.ignore_patterns("results", "__pycache__")
        shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=leave)
    shutil.copytree(tmp_path / "script", tmp_path / "function")
    (tmp_path / "function" / "fit.py").write_text(FUNCTION)
    script = swept(tmp_path / "script")
    assert [(len(config), mse.n) for config, mse, _ in script] == [(2, 2)] * 6
    assert swept(tmp_path / "hydra_app") == script
    assert swept(tmp_path / "function", "experiment: fit:run") == script
    search = tmp_path / "search"
    search.mkdir()
    (search / "fit.py").write_text(FUNCTION)
    (search / "sweep.yaml").write_text(SEARCH)
    assert swept(search) == script
