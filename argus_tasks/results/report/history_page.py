"""A history as one HTML file: a curve for each cell, the batches with a new level marked."""

from __future__ import annotations

from datetime import datetime

from argus_tasks.base.clock import utc_now
from argus_tasks.results.compare.batch_history import History
from argus_tasks.results.compare.history_text import batch_columns, level_text, series_names
from argus_tasks.results.read.direction import guess_direction
from argus_tasks.results.report.markup import fill, join
from argus_tasks.results.report.plots import history_plot
from argus_tasks.results.report.shell import page

MOST_CELLS = 48


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
    better = {"min": "lower is better", "max": "higher is better", None: ""}[
        guess_direction(found.metric)
    ]
    top = fill(
        "<p class=small>{}</p>{}",
        " · ".join(part for part in (f"{len(found.batches)} batches", better) if part),
        join(fill("<p class=answer>{}</p>", text) for text in changed[:8])
        if changed
        else fill("<p class=answer>No level has changed.</p>"),
    )
    hidden = len(names) - MOST_CELLS
    plots = fill(
        "<div class=plots>{}</div><p class=small>Mean and standard deviation of each batch; a"
        " dashed line is the first batch of a new level.{}</p>",
        join(
            fill("<figure>{}</figure>", history_plot(names[place], found.series[place], found))
            for place in order[:MOST_CELLS]
        ),
        f" {hidden} more cells, none with a new level, are not drawn." if hidden > 0 else "",
    )
    columns = batch_columns(found)
    rows = zip(*(column.cells for column in columns), strict=True)
    table = fill(
        "<div class=scroll tabindex=0 role=region aria-label=Batches><table><thead><tr>{}</tr>"
        "</thead><tbody>{}</tbody></table></div>",
        join(fill("<th scope=col>{}</th>", column.title or "#") for column in columns),
        join(
            fill("<tr>{}</tr>", join(fill("<td>{}</td>", cell) for cell in cells)) for cells in rows
        ),
    )
    sections = [("cells", f"{found.metric}, cell by cell", plots), ("batches", "Batches", table)]
    return page(f"{found.metric} of {found.name}", top, sections, now or utc_now())
