"""The key plots: files of their own that any browser shows, whatever users called their keys."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from argus_tasks.results.read.rows import load_rows
from argus_tasks.results.report.key_plots import key_plots
from argus_tasks.results.tables.leaderboard import leaderboard

MakeRun = Callable[..., Path]
DRAW = "import json, sys; from argus_tasks.results.report.key_plots import main; main({!r})"
HOSTILE = "\"><script>alert('&')</script>"


def test_they_are_drawn_into_files_and_the_best_run_is_named_first(
    make_run: MakeRun, tmp_path: Path
) -> None:
    best = ""
    for model, loss in ((HOSTILE, 3.0), ("mlp", 1.0), ("ridge", 2.0)):
        for seed in (0, 1):
            config = {"model": model, "lr": loss / 10, "seed": seed}
            run = make_run(config, {"val_loss": loss + seed / 100}, batch_id="b")
            (run / "metrics.jsonl").write_text(
                "".join(
                    json.dumps({"step": step, "metrics": {"val_loss": 5 / (step + 1)}}) + "\n"
                    for step in range(3)
                )
            )
            best = best or (run.name if model == "mlp" else "")
    given = {"root": str(tmp_path), "batch_id": "b", "folder": str(tmp_path / "plots")}
    out = subprocess.run(
        [sys.executable, "-c", DRAW.format(given)], check=True, capture_output=True, text=True
    ).stdout
    told = json.loads(out)
    assert told["run_ids"][0] == best
    assert len(told["run_ids"]) == 6
    drawn = {Path(file).stem: Path(file) for file in told["files"]}
    assert {"leaderboard", "curves-val_loss"} < set(drawn)
    assert any(name.startswith("effect-") for name in drawn)
    for path in drawn.values():
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "--ink" in path.read_text()
        assert not [one for one in root.iter() if one.tag.endswith("script")]
    shown = "".join(ElementTree.parse(drawn["leaderboard"]).getroot().itertext())
    assert "lower is better" in shown
    assert "mlp" in shown


def test_nothing_to_compare_is_nothing_to_draw(make_run: MakeRun, tmp_path: Path) -> None:
    make_run({"x": 1}, {"loss": 1.0})
    assert list(key_plots(leaderboard(load_rows(tmp_path).rows))) == []
