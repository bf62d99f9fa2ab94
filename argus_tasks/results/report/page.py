"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from argus_tasks.base.clock import utc_now
from argus_tasks.base.files import read_json
from argus_tasks.results.compare.contests import Contest, contests
from argus_tasks.results.compare.side_text import plural
from argus_tasks.results.read.direction import Direction
from argus_tasks.results.read.failures import failures
from argus_tasks.results.read.rows import OddFolder, Row, codes_of
from argus_tasks.results.read.timeline import timeline
from argus_tasks.results.report import plots, tables
from argus_tasks.results.report.headline import ended_sentence, won_sentences
from argus_tasks.results.report.markup import Markup, fill, join
from argus_tasks.results.report.shell import page
from argus_tasks.results.tables.axes import Axes, axes_of
from argus_tasks.results.tables.curves import Curves, learning_curves
from argus_tasks.results.tables.effects import effects
from argus_tasks.results.tables.leaderboard import Leaderboard, leaderboard
from argus_tasks.results.tables.pivot import pivot_of_best
from argus_tasks.results.tables.table import value_text
from argus_tasks.runs.ledger.sweep_folder import SweepFolder

_MOST_EFFECTS = 8
_MOST_ODD = 20


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What a report is of.

    Attributes:
        root: the results root.
        rows: the runs that count.
        odd: folders there that cannot be read.
        superseded: how many older runs of the same configs are left out.
        batch_id: the batch; None where it is all of the root.
        metric: what to compare by; None for the first.
        direction: min or max; None for what the metric's name tells.
        model: the config key of what competes; None for one with a usual name.
        dataset: the config key of what it competes on; None likewise.
    """

    root: Path
    rows: tuple[Row, ...]
    odd: tuple[OddFolder, ...] = ()
    superseded: int = 0
    batch_id: str | None = None
    metric: str | None = None
    direction: Direction | None = None
    model: str | None = None
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The HTML, and its answer in plain sentences."""

    html: str
    sentences: tuple[str, ...]


def make_report(request: ReportRequest, now: datetime | None = None) -> Report:
    """The report. Errors: BadInput for a metric or a key that is not there."""
    now = now or utc_now()
    rows = request.rows
    board = leaderboard(rows, request.metric, request.direction)
    axes = axes_of(board, request.model, request.dataset)
    found = contests(board, axes)
    sentences = [ended_sentence(rows), *won_sentences(board, axes, found)]
    parts = [
        ("winners", "Who won, and is it more than noise", _winners(board, axes, found)),
        ("matrix", "Model by dataset", _matrix(board, axes)),
        ("leaderboard", "Leaderboard", _leaderboard(board, request)),
        ("failures", "Failures", _failures(request)),
        ("effects", "What the parameters do", _effects(board, axes)),
        ("curves", "Learning curves", _curves(learning_curves(board, axes))),
        ("timeline", "Timeline", _timeline(request, now)),
        ("notes", "Notes", _notes(board, request)),
    ]
    answer = [*sentences[1:], sentences[0]]
    top = fill(
        "{}{}{}",
        _about(request),
        join(fill("<p class=answer>{}</p>", sentence) for sentence in answer),
        _verdict(request),
    )
    return Report(page(_title(request), top, parts, now), tuple(sentences))


def _title(request: ReportRequest) -> str:
    names = dict.fromkeys(str(state.get("name")) for state in _states(request) if state.get("name"))
    if 0 < len(names) <= 3:
        return ", ".join(value_text(name, 60) for name in names)
    return request.root.name or "report"


def _states(request: ReportRequest) -> list[dict[str, Any]]:
    batch_ids = dict.fromkeys(row.batch_id for row in request.rows if row.batch_id)
    if request.batch_id is not None:
        batch_ids = {request.batch_id: None}
    found = (SweepFolder(request.root, batch_id).state() for batch_id in batch_ids)
    return [state for state in found if state]


def _about(request: ReportRequest) -> Markup:
    rows = request.rows
    configs = len({row.digest or row.run_id for row in rows})
    parts = [f"{plural(len(rows), 'run')} of {plural(configs, 'config')}"]
    experiments = dict.fromkeys(str(state.get("experiment")) for state in _states(request))
    if len(experiments) == 1:
        parts.append(f"experiment {value_text(next(iter(experiments)), 60)}")
    batches = list(dict.fromkeys(row.batch_id for row in rows if row.batch_id))
    if request.batch_id is not None:
        parts.append(f"batch {request.batch_id}")
    elif batches:
        parts.append(f"batch {batches[0]}" if len(batches) == 1 else f"{len(batches)} batches")
    begins = sorted(row.started_at for row in rows if row.started_at)
    ends = sorted(row.finished_at for row in rows if row.finished_at)
    if begins and ends:
        until = ends[-1][11:16] if ends[-1][:10] == begins[0][:10] else _moment(ends[-1])
        parts.append(f"{_moment(begins[0])} to {until} UTC")
    codes = codes_of(rows)
    if codes:
        parts.append(f"code {', '.join(codes[:3])}{' and others' if len(codes) > 3 else ''}")
    hosts = list(dict.fromkeys(row.host_kind for row in rows if row.host_kind))
    if hosts:
        parts.append(hosts[0] if len(hosts) == 1 else f"{len(hosts)} kinds of host")
    return fill("<p class=small>{}</p>", " · ".join(parts))


def _moment(text: str) -> str:
    return text[:16].replace("T", " ")


def _verdict(request: ReportRequest) -> Markup:
    """What the comparison with a baseline said, where the benchmark flow has left it."""
    if request.batch_id is None:
        return Markup()
    try:
        value = read_json(SweepFolder(request.root, request.batch_id).path / "verdict.json")
        return fill(
            "<p class=answer>Beside the baseline {}: {}</p>", value["baseline"], value["message"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Markup()


def _winners(board: Leaderboard, axes: Axes, found: Sequence[Contest]) -> Markup:
    if not found:
        return Markup()
    model = f"; for each {axes.model} its best config counts" if axes.model else ""
    return fill(
        "{}<p class=small>The best beside the runner-up{}: mean ± standard deviation over seeds,"
        " and the lead with an interval that holds for all lines together (Welch’s t-test with"
        " Holm’s correction, 5 %).</p>",
        tables.contests_table(board, axes, found),
        model,
    )


def _matrix(board: Leaderboard, axes: Axes) -> Markup:
    found = pivot_of_best(board, axes)
    if found is None:
        return Markup()
    return fill(
        "{}<p class=small>{}: mean ± standard deviation over seeds of each {}’s best config; best"
        " and worst of each column marked.</p>",
        tables.matrix_table(found),
        board.metric,
        axes.model,
    )


def _leaderboard(board: Leaderboard, request: ReportRequest) -> Markup:
    hidden = len(board.groups) - tables.MOST_GROUPS
    more = Markup()
    if hidden > 0:
        more = fill(
            "<p>The best {} of {} rows; all of them: <code>argus-tasks results {} --csv</code></p>",
            tables.MOST_GROUPS,
            len(board.groups),
            request.root,
        )
    return fill(
        "<p class=small>Runs that differ in nothing but their seed are one row: the mean of n"
        " runs, for the first metric with its standard deviation. Press a title to sort by"
        " it.</p>{}{}",
        tables.leaderboard_table(board, request.root),
        more,
    )


def _failures(request: ReportRequest) -> Markup:
    found = failures(request.rows)
    return tables.failures_list(found, request.root) if found else Markup()


def _effects(board: Leaderboard, axes: Axes) -> Markup:
    found = effects(board, axes)
    if not found.effects:
        return Markup()
    unit = f"{board.metric}" if found.within is None else f"{board.metric}, in sd of {found.within}"
    words = "Each dot is a config (the mean over its seeds), the bar their mean."
    if found.within is not None:
        words += (
            f" Values are differences from the mean of the same {found.within}, in units of its"
            " standard deviation."
        )
    shown = found.effects[:_MOST_EFFECTS]
    return fill(
        "{}<div class=plots>{}</div><p class=small>{}</p>",
        tables.importance_table(found),
        join(fill("<figure>{}</figure>", plots.effect_plot(each, unit)) for each in shown),
        words,
    )


def _curves(found: Curves | None) -> Markup:
    if found is None or not found.panels:
        return Markup()
    names = dict.fromkeys(curve.name for panel in found.panels for curve in panel.curves)
    colours = {name: number for number, name in enumerate(names)}
    words = f"{found.metric}, mean over seeds, of those that logged it."
    others = [name for name in found.metrics if name != found.metric]
    if others:
        words += f" Logged too: {', '.join(others[:12])}."
    if found.datasets_left_out:
        words += f" {found.datasets_left_out} more datasets are not drawn."
    return fill(
        "<div class=plots>{}</div><p class=small>{}</p>",
        join(
            fill("<figure>{}</figure>", plots.curve_plot(panel, colours)) for panel in found.panels
        ),
        words,
    )


def _timeline(request: ReportRequest, now: datetime) -> Markup:
    found = timeline(request.root, request.rows, now)
    if found is None:
        return Markup()
    words = (
        f"{plural(len(found.bars), 'attempt')} from {found.began_at:%Y-%m-%d %H:%M} UTC on, at most"
        f" {found.lanes} at once."
    )
    if len(found.bars) > plots.MOST_BARS:
        words += " So many are drawn as their number at each moment."
    else:
        words += " A lane is not a certain worker: an attempt is in the first one that was free."
    if found.breaks:
        words += " Dashed lines: a pause is cut out."
    if len(found.usage) > 1:
        words += " Beneath: CPU and memory of the machine that ran the sweep."
    return fill(
        "<figure><div class='scroll wide' tabindex=0 role=region aria-label=Timeline>{}</div>"
        "<figcaption>{}</figcaption></figure>",
        plots.timeline_plot(found),
        words,
    )


def _notes(board: Leaderboard, request: ReportRequest) -> Markup:
    notes = []
    if board.constants:
        same = ", ".join(f"{key}={value_text(value)}" for key, value in board.constants.items())
        notes.append(fill("<li>All with {}.</li>", same))
    if board.direction_is != "given" and board.metric is not None:
        better = "lower" if board.direction == "min" else "higher"
        notes.append(
            fill(
                "<li>That {} is better is {}; else: --direction.</li>",
                better,
                "told by the metric’s name" if board.direction_is == "by its name" else "assumed",
            )
        )
    if request.superseded:
        older = plural(request.superseded, "older run")
        notes.append(fill("<li>{} of the same configs left out.</li>", older))
    batches = dict.fromkeys(row.batch_id for row in request.rows if row.batch_id)
    if request.batch_id is None and len(batches) > 1:
        shown = ", ".join(list(batches)[:10])
        notes.append(fill("<li>{} batches (one alone: --batch): {}.</li>", len(batches), shown))
    notes += [
        fill("<li>{}: {}</li>", folder.path.name, folder.sentence)
        for folder in request.odd[:_MOST_ODD]
    ]
    if len(request.odd) > _MOST_ODD:
        notes.append(fill("<li>and {} more odd folders.</li>", len(request.odd) - _MOST_ODD))
    return fill("<ul>{}</ul>", join(notes)) if notes else Markup()
