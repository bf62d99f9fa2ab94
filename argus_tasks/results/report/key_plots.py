"""A batch's key plots as files of their own: what leads, what a parameter does, how it was learnt.

A process of its own draws them, so that who runs the sweep loads no plotting library.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from argus_tasks.base.files import write_text_whole
from argus_tasks.base.ids import slug
from argus_tasks.results.compare.sides import batch_side
from argus_tasks.results.report import plots
from argus_tasks.results.report.svg import standing_alone
from argus_tasks.results.tables.axes import axes_of, group_names
from argus_tasks.results.tables.curves import learning_curves
from argus_tasks.results.tables.effects import effects
from argus_tasks.results.tables.leaderboard import Leaderboard, leaderboard

_MOST_EFFECTS = 2
_MOST_PANELS = 4


def main(given: Mapping[str, Any]) -> None:
    """Draw, and print as JSON the `files`, and the batch's `run_ids`, the best first."""
    os.nice(19)
    board = leaderboard(batch_side(Path(given["root"]), given["batch_id"]).rows)
    folder = Path(given["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, drawn in key_plots(board):
        path = folder / f"{name}.svg"
        write_text_whole(path, standing_alone(drawn))
        files.append(str(path))
    run_ids = [row.run_id for group in board.groups for row in group.rows]
    sys.stdout.write(json.dumps({"files": files, "run_ids": run_ids}))


def key_plots(board: Leaderboard) -> Iterator[tuple[str, Markup]]:
    """The plots, each with its name; none where there is nothing to compare."""
    if board.metric is None or len(board.groups) < 2:
        return
    axes = axes_of(board)
    yield "leaderboard", plots.board_plot(board, group_names(board))
    found = effects(board, axes)
    unit = board.metric if found.within is None else f"{board.metric}, in sd of {found.within}"
    for effect in found.effects[:_MOST_EFFECTS]:
        yield slug(f"effect-{effect.key}"), plots.effect_plot(effect, unit)
    curves = learning_curves(board, axes)
    for panel in curves.panels[:_MOST_PANELS] if curves else ():
        names = {curve.name: number for number, curve in enumerate(panel.curves)}
        yield slug(f"curves-{panel.dataset or panel.metric}"), plots.curve_plot(panel, names)
