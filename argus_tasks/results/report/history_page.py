"""A history as one HTML file: a curve for each cell, the batches with a new level marked."""

from __future__ import annotations

from datetime import datetime

from argus_tasks.base.clock import utc_now
from argus_tasks.results.compare.batch_history import History
from argus_tasks.results.compare.history_text import (
    batch_columns,
    batch_count,
    level_text,
    series_names,
)
from argus_tasks.results.read.direction import better_is, guess_direction
from argus_tasks.results.report.page_template import render
from argus_tasks.results.report.plots import history_plot

MOST_CELLS = 48
_MOST_CHANGES = 8


def history_html(found: History, now: datetime | None = None) -> str:
    """The page. Cells beyond MOST_CELLS are left out, those with a new level last of all."""
    names = series_names(found)
    order = sorted(range(len(names)), key=lambda place: not found.series[place].changes)
    changed = [
        f"{names[place]}: {level_text(found.series[place], change.change)} from batch"
        f" {change.at + 1} on"
        for place in order
        for change in found.series[place].changes
    ]
    about = [batch_count(found)]
    if direction := guess_direction(found.metric):
        about.append(better_is(direction))
    columns = batch_columns(found)
    return render(
        "history.html",
        now or utc_now(),
        title=f"{found.metric} of {found.name}",
        metric=found.metric,
        about=about,
        changed=changed[:_MOST_CHANGES],
        plots=[history_plot(names[at], found.series[at], found) for at in order[:MOST_CELLS]],
        hidden=len(names) - MOST_CELLS,
        columns=columns,
        rows=zip(*(column.cells for column in columns), strict=True),
    )
