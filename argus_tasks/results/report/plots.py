"""The report's figures. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from argus_tasks.results.compare.batch_history import History, Series
from argus_tasks.results.read.direction import better_is
from argus_tasks.results.read.timeline import CUT_OFF, Bar, Timeline
from argus_tasks.results.report.svg import (
    BAD,
    GOOD,
    INK,
    MUTED,
    OTHER,
    SERIES,
    figure,
    plain,
    svg_of,
)
from argus_tasks.results.tables.curves import CurvePanel
from argus_tasks.results.tables.effects import Effect
from argus_tasks.results.tables.leaderboard import Leaderboard
from argus_tasks.runs.record.layout import FAILED, RUNNING, SKIPPED, SUCCEEDED

MOST_BARS = 2000
"""With more attempts than this only their number at each moment is drawn."""
_MOST_DOTS = 400
_MOST_GROUPS = 20
_DASHES: tuple[object, ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (5, 1)),
    (0, (3, 1, 1, 1)),
    (0, (1, 1)),
    (0, (8, 2)),
)
_STATUS = (
    (SUCCEEDED, GOOD, ""),
    (FAILED, BAD, "////"),
    (CUT_OFF, BAD, "...."),
    (SKIPPED, OTHER, ""),
    (RUNNING, OTHER, "\\\\\\\\"),
)


def curve_plot(panel: CurvePanel, colours: dict[str, int]) -> Markup:
    """The learning curves of a panel; `colours` numbers the names, alike in all panels."""
    with figure(4.2, 2.9) as drawn:
        axes = drawn.subplots()
        for curve in panel.curves:
            number = colours[curve.name] % len(SERIES)
            axes.plot(
                curve.steps,
                curve.values,
                color=SERIES[number],
                linestyle=_DASHES[number],
                linewidth=1.6,
                marker="o" if len(curve.steps) == 1 else None,
                label=plain(curve.name, 22),
            )
        values = [value for curve in panel.curves for value in curve.values]
        if min(values) > 0 and max(values) > 50 * min(values):
            axes.set_yscale("log")
        axes.set_title(plain(panel.dataset or panel.metric, 40), loc="left")
        axes.set_xlabel("step")
        axes.set_ylabel(plain(panel.metric))
        if len(panel.curves) > 1 or panel.curves[0].name != "all":
            axes.legend(fontsize=8, loc="best")
        names = ", ".join(curve.name for curve in panel.curves)
        return svg_of(drawn, f"{panel.metric} by step {panel.dataset}: {names}")


def board_plot(board: Leaderboard, names: Mapping[int, str]) -> Markup:
    """The best groups by the metric, each with its 95 % interval; `names` by `id(group)`."""
    assert board.metric is not None
    metric = board.metric
    shown = [group for group in board.groups if metric in group.metrics][:_MOST_GROUPS]
    spreads = [group.metrics[metric] for group in shown]
    labels = [plain(names[id(group)], 40) for group in shown]
    with figure(6.4, 0.9 + 0.24 * len(shown)) as drawn:
        axes = drawn.subplots()
        axes.errorbar(
            [spread.mean for spread in spreads],
            range(len(shown)),
            xerr=[spread.half_width or 0.0 for spread in spreads],
            fmt="o",
            color=SERIES[0],
            ecolor=MUTED,
            elinewidth=1.2,
            markersize=4.5,
        )
        axes.set_yticks(range(len(shown)), labels)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_title(
            f"{plain(metric)}: the best {len(shown)}, {better_is(board.direction)}", loc="left"
        )
        told = ", ".join(
            f"{label} {spread.mean:.3g}" for label, spread in zip(labels, spreads, strict=True)
        )
        return svg_of(drawn, f"{metric} of the best: {told}")


def effect_plot(effect: Effect, ylabel: str) -> Markup:
    """The metric at each value of a key: every config a dot, their mean a line."""
    with figure(4.2, 2.7) as drawn:
        axes = drawn.subplots()
        share = max(1, sum(len(level.values) for level in effect.levels) // _MOST_DOTS)
        for place, level in enumerate(effect.levels):
            values = level.values[::share]
            # Beside each other, not on top of each other: the same pattern every time.
            shift = [place + ((index * 7) % 11 - 5) / 28 for index in range(len(values))]
            axes.plot(shift, values, "o", color=SERIES[0], markersize=3.5, alpha=0.55, mew=0)
            axes.plot([place - 0.3, place + 0.3], [level.mean] * 2, color=INK, linewidth=2.2)
        labels = [plain(level.label, 20) for level in effect.levels]
        long = sum(map(len, labels)) > 34
        axes.set_xticks(
            range(len(labels)), labels, rotation=30 if long else 0, ha="right" if long else "center"
        )
        axes.set_xlim(-0.6, len(labels) - 0.4)
        axes.grid(visible=False, axis="x")
        axes.set_title(plain(effect.key, 40), loc="left")
        axes.set_ylabel(plain(ylabel, 44))
        means = ", ".join(f"{level.label} {level.mean:.3g}" for level in effect.levels)
        return svg_of(drawn, f"{ylabel} by {effect.key}, means: {means}")


def history_plot(name: str, series: Series, found: History) -> Markup:
    """A cell over the batches: mean and spread, with a line where a new level begins."""
    from matplotlib.ticker import MaxNLocator

    have = [(at + 1, point) for at, point in enumerate(series.points) if point is not None]
    with figure(4.2, 2.6) as drawn:
        axes = drawn.subplots()
        axes.errorbar(
            [at for at, _ in have],
            [point.mean for _, point in have],
            yerr=[point.std or 0.0 for _, point in have],
            color=SERIES[0],
            ecolor=MUTED,
            elinewidth=1,
            marker="o",
            markersize=3.5,
            linewidth=1.4,
        )
        for change in series.changes:
            axes.axvline(change.at + 0.5, color=BAD, linewidth=1.4, linestyle="--")
        axes.set_xlim(0.5, len(found.batches) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(plain(name, 40), loc="left")
        axes.set_xlabel("batch")
        axes.set_ylabel(plain(found.metric))
        levels = ", ".join(str(change.at + 1) for change in series.changes) or "none"
        return svg_of(drawn, f"{found.metric} of {name} by batch; new levels from batch: {levels}")


def timeline_plot(found: Timeline) -> Markup:
    """Attempts over lanes (many: how many ran at once), CPU and memory beneath."""
    many = len(found.bars) > MOST_BARS
    lanes_in = 1.8 if many else min(4.5, 0.7 + 0.19 * found.lanes)
    has_usage = len(found.usage) > 1
    ratios = [lanes_in, 1.2] if has_usage else [lanes_in]
    unit_s, unit = _unit(found.length_s)
    with figure(9.0, sum(ratios) + 0.5) as drawn:
        parts = drawn.subplots(
            len(ratios), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios}
        )[:, 0]
        top = parts[0]
        if many:
            times, counts = _at_once(found.bars)
            top.fill_between(
                [time / unit_s for time in times], counts, step="post", color=SERIES[0], alpha=0.5
            )
            top.set_ylabel("running at once")
            top.set_ylim(bottom=0)
        else:
            _draw_bars(top, found.bars, unit_s)
            top.set_ylim(found.lanes - 0.4, -0.6)
            top.set_yticks([0] if found.lanes < 3 else [0, found.lanes - 1])
            top.set_yticklabels(["1"] if found.lanes < 3 else ["1", str(found.lanes)])
            top.set_ylabel("lane")
            top.grid(visible=False, axis="y")
        if has_usage:
            times = [usage.at_s / unit_s for usage in found.usage]
            beneath = parts[1]
            cpu = [usage.cpu_percent for usage in found.usage]
            memory = [usage.memory_percent for usage in found.usage]
            beneath.plot(times, cpu, color=SERIES[0], linewidth=1.3, label="CPU")
            beneath.plot(times, memory, color=SERIES[1], linewidth=1.3, ls="--", label="memory")
            beneath.set_ylim(0, 105)
            beneath.set_ylabel("% of machine")
            beneath.legend(fontsize=8, loc="upper left", ncols=2, bbox_to_anchor=(0, 1.32))
        for part in parts:
            for at in found.breaks:
                part.axvline(at / unit_s, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
        parts[-1].set_xlabel(unit)
        parts[-1].set_xlim(0, max(found.length_s / unit_s, 1e-9))
        return svg_of(
            drawn,
            f"timeline of {len(found.bars)} attempts in {found.lanes} lanes over"
            f" {found.length_s / unit_s:.3g} {unit}",
        )


def _draw_bars(axes: Any, bars: Sequence[Bar], unit_s: float) -> None:
    from matplotlib.patches import Patch, PathPatch
    from matplotlib.path import Path

    keys = []
    for status, colour, hatch in _STATUS:
        boxes = [
            _box(bar.begin_s / unit_s, bar.end_s / unit_s, bar.lane)
            for bar in bars
            if bar.status == status
        ]
        if boxes:
            look: dict[str, Any] = {
                "facecolor": colour,
                "edgecolor": INK,
                "linewidth": 0.4,
                "hatch": hatch,
            }
            axes.add_patch(PathPatch(Path.make_compound_path(*boxes), **look))
            keys.append(Patch(label=f"{status} ({len(boxes)})", **look))
    axes.autoscale_view()
    axes.legend(
        handles=keys, fontsize=8, ncols=len(keys), loc="lower left", bbox_to_anchor=(0, 1.0)
    )


def _box(begin: float, end: float, lane: int) -> Any:
    from matplotlib.path import Path

    low, high = lane - 0.38, lane + 0.38
    corners = [(begin, low), (end, low), (end, high), (begin, high), (begin, low)]
    return Path(corners, closed=True)


def _at_once(bars: Sequence[Bar], points: int = 600) -> tuple[list[float], list[int]]:
    """How many ran at each of so many moments: the most in each slice of time."""
    changes = sorted([(bar.begin_s, 1) for bar in bars] + [(bar.end_s, -1) for bar in bars])
    length = changes[-1][0] or 1.0
    most = [0] * points
    now = 0
    before = 0
    for at, change in changes:
        place = min(points - 1, int(at / length * points))
        for index in range(before, place + 1):
            most[index] = max(most[index], now)
        now += change
        most[place] = max(most[place], now)
        before = place
    return [index * length / points for index in range(points)], most


def _unit(length_s: float) -> tuple[float, str]:
    if length_s < 300:
        return 1.0, "seconds"
    return (60.0, "minutes") if length_s < 3 * 3600 else (3600.0, "hours")
