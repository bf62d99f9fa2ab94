"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from argus_tasks.base.clock import utc_now
from argus_tasks.base.files import read_json
from argus_tasks.results.compare.contests import Contest, Noise, contests
from argus_tasks.results.compare.sides import minute_text
from argus_tasks.results.read.direction import Direction, better_is
from argus_tasks.results.read.failures import failures
from argus_tasks.results.read.rows import OddFolder, Row, codes_of
from argus_tasks.results.read.timeline import timeline
from argus_tasks.results.report import plots
from argus_tasks.results.report.headline import ended_sentence, lead_text, won_sentences
from argus_tasks.results.report.page_template import render
from argus_tasks.results.tables.axes import Axes, axes_of
from argus_tasks.results.tables.curves import Curves, learning_curves
from argus_tasks.results.tables.effects import METHOD, effects
from argus_tasks.results.tables.leaderboard import (
    SEED,
    Group,
    Leaderboard,
    Spread,
    leaderboard,
    spread,
)
from argus_tasks.results.tables.pivot import pivot_of_best
from argus_tasks.results.tables.table import (
    code_text,
    keys_shown,
    number_specs,
    odd_text,
    plural,
    titles_of,
    value_text,
)
from argus_tasks.runs.ledger.sweep_folder import SweepFolder

MOST_GROUPS = 300
_MOST_METRICS = 6
_MOST_EFFECTS = 8
_MOST_ODD = 20
_DIGITS = 12
_NOISE_CLASS = {
    Noise.BEYOND: "yes",
    Noise.NONE: "yes",
    Noise.WITHIN: "no",
    Noise.TIE: "no",
    Noise.UNKNOWN: "unknown",
    Noise.ALONE: "unknown",
}


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
    html = render(
        "report.html",
        now,
        title=_title(request),
        about=_about(request),
        answer=[*sentences[1:], sentences[0]],
        baseline=_verdict(request),
        root=request.root,
        board=board,
        axes=axes,
        failures=failures(rows),
        notes=_notes(board, request),
        code_text=code_text,
        count_text=_count,
        lead_text=lead_text,
        rerun_command=rerun_command,
        run_text=_run,
        spread=spread,
        titles_of=titles_of,
        **_winners(board, axes, found),
        **_matrix(board, axes),
        **_leaderboard(board),
        **_effects(board, axes),
        **_curves(learning_curves(board, axes)),
        **_timeline(request, now),
    )
    return Report(html, tuple(sentences))


def rerun_command(root: Path, row: Row) -> str | None:
    """What runs that run's config again; None for a run that has no digest."""
    if not row.digest:
        return None
    return f"argus-tasks rerun {shlex.quote(str(root))} --digest {row.digest[:_DIGITS]}"


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


def _about(request: ReportRequest) -> list[str]:
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
        until = ends[-1][11:16] if ends[-1][:10] == begins[0][:10] else minute_text(ends[-1])
        parts.append(f"{minute_text(begins[0])} to {until} UTC")
    codes = codes_of(rows)
    if codes:
        parts.append(f"code {', '.join(codes[:3])}{' and others' if len(codes) > 3 else ''}")
    hosts = list(dict.fromkeys(row.host_kind for row in rows if row.host_kind))
    if hosts:
        parts.append(hosts[0] if len(hosts) == 1 else f"{len(hosts)} kinds of host")
    return parts


def _verdict(request: ReportRequest) -> dict[str, Any] | None:
    """What the comparison with a baseline said, where the benchmark flow has left it."""
    if request.batch_id is None:
        return None
    try:
        value = read_json(SweepFolder(request.root, request.batch_id).path / "verdict.json")
        return {"baseline": value["baseline"], "message": value["message"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _winners(board: Leaderboard, axes: Axes, found: Sequence[Contest]) -> dict[str, Any]:
    """A line a dataset: the winner, what its lead is worth, and the numbers that say so."""
    metric = str(board.metric)
    seconds = [c.second_group.metrics.get(metric) if c.second_group else None for c in found]
    return {
        "contests": found,
        "dataset_title": titles_of([axes.dataset])[0] if axes.dataset else "",
        "noise_classes": _NOISE_CLASS,
        "best_texts": _texts([contest.group.metrics.get(metric) for contest in found]),
        "second_texts": _texts(seconds),
    }


def _matrix(board: Leaderboard, axes: Axes) -> dict[str, Any]:
    found = pivot_of_best(board, axes)
    columns = range(len(found.column_values)) if found else ()
    texts = [_texts([row[at] for row in found.cells]) for at in columns] if found else []
    return {"pivot": found, "pivot_texts": texts}


def _leaderboard(board: Leaderboard) -> dict[str, Any]:
    """The best groups; in the last column each run with the command that reruns it."""
    groups = board.groups[:MOST_GROUPS]
    others = [name for name in board.metrics if name != board.metric][:_MOST_METRICS]
    metrics = [board.metric, *others] if board.metric else []
    return {
        "groups": groups,
        "keys": keys_shown(board),
        "metric_texts": {
            name: _texts([each.spread(name) for each in groups], with_std=name == board.metric)
            for name in metrics
        },
        "has_memory": any(row.peak_ram_mb for group in groups for row in group.rows),
    }


def _effects(board: Leaderboard, axes: Axes) -> dict[str, Any]:
    found = effects(board, axes)
    unit = f"{board.metric}" if found.within is None else f"{board.metric}, in sd of {found.within}"
    drawn = [plots.effect_plot(each, unit) for each in found.effects[:_MOST_EFFECTS]]
    return {"effects": found, "effects_method": METHOD, "effect_plots": drawn}


def _curves(found: Curves | None) -> dict[str, Any]:
    panels = found.panels if found else ()
    names = dict.fromkeys(curve.name for panel in panels for curve in panel.curves)
    colours = {name: number for number, name in enumerate(names)}
    return {"curves": found, "curve_plots": [plots.curve_plot(each, colours) for each in panels]}


def _timeline(request: ReportRequest, now: datetime) -> dict[str, Any]:
    found = timeline(request.root, request.rows, now)
    drawn = plots.timeline_plot(found) if found else None
    return {"timeline": found, "timeline_plot": drawn, "most_bars": plots.MOST_BARS}


def _notes(board: Leaderboard, request: ReportRequest) -> list[str]:
    notes = []
    if board.constants:
        same = ", ".join(f"{key}={value_text(value)}" for key, value in board.constants.items())
        notes.append(f"All with {same}.")
    if board.direction_is != "given" and board.metric is not None:
        why = "told by the metric’s name" if board.direction_is == "by its name" else "assumed"
        notes.append(f"That {better_is(board.direction)} is {why}; else: --direction.")
    if request.superseded:
        notes.append(f"{plural(request.superseded, 'older run')} of the same configs left out.")
    batches = dict.fromkeys(row.batch_id for row in request.rows if row.batch_id)
    if request.batch_id is None and len(batches) > 1:
        shown = ", ".join(list(batches)[:10])
        notes.append(f"{len(batches)} batches (one alone: --batch): {shown}.")
    notes += [f"{folder.path.name}: {folder.sentence}" for folder in request.odd[:_MOST_ODD]]
    if len(request.odd) > _MOST_ODD:
        notes.append(f"and {len(request.odd) - _MOST_ODD} more odd folders.")
    return notes


def _run(row: Row, board: Leaderboard) -> str:
    """A run in the leaderboard: its seed, its number or how it ended, its folder."""
    parts = [] if row.config.get(SEED) is None else [f"seed {value_text(row.config[SEED])}"]
    value = row.metrics.get(board.metric) if board.metric else None
    if isinstance(value, int | float) and row.status == "succeeded":
        parts.append(f"{value:.5g}")
    else:
        parts.append(": ".join(t for t in (row.status, row.cause or row.error_type) if t))
    parts.append(row.path.name)
    if board.has_codes and row.code:
        parts.append(f"code {row.code}")
    return ", ".join(parts)


def _count(group: Group, metric: str | None) -> str:
    odd = group.not_finite.get(metric or "")
    if odd is not None:
        return odd_text(odd.n, len(group.rows))
    have = group.metrics[metric].n if metric in group.metrics else 0
    return str(have) if have == len(group.rows) else f"{have} of {len(group.rows)}"


def _texts(found: Sequence[Spread | None], *, with_std: bool = True) -> list[str]:
    """Means, and spreads, with as many digits as a column needs."""
    have = [each for each in found if each]
    specs = iter(number_specs([each.mean for each in have]) if have else [])
    texts = []
    for each in found:
        if each is None:
            texts.append("-")
            continue
        spec = next(specs)
        std = "" if each.std is None or not with_std else f" ± {each.std:{spec}}"
        texts.append(f"{each.mean:{spec}}{std}")
    return texts
