"""Learning curves of the best configs from `metrics.jsonl`: the mean over seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from argus_tasks.base.files import read_json_lines
from argus_tasks.base.nested import flatten
from argus_tasks.results.read.rows import Row
from argus_tasks.results.stats.moments import mean
from argus_tasks.results.tables.axes import Axes, group_names
from argus_tasks.results.tables.leaderboard import Group, Leaderboard
from argus_tasks.results.tables.table import value_text
from argus_tasks.runs.record.layout import METRICS_JSONL

MOST_PANELS = 9
MOST_CURVES = 8
_MOST_SEEDS = 10
_MOST_POINTS = 150
_HELD_OUT = ("val", "valid", "validation", "test", "eval")

Series = dict[str, dict[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """A config's curve: the mean over its runs at each step, with no more points than a plot
    shows."""

    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """The curves of one dataset (empty where there is none), by one metric."""

    dataset: str
    metric: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """Panels, and how many datasets and configs with curves are left out."""

    panels: tuple[CurvePanel, ...]
    metric: str
    metrics: tuple[str, ...]
    datasets_left_out: int


def curves_of(row: Row) -> Series:
    """A run's curves: by name (with the split, where it is not train) the value at each step."""
    found: Series = {}
    for line in read_json_lines(row.path / METRICS_JSONL):
        if not isinstance(line, dict) or not isinstance(line.get("metrics"), dict):
            continue
        step = line.get("step")
        if not _is_number(step):
            continue
        split = line.get("split")
        end = "" if split in (None, "train") else f" ({split})"
        for name, value in flatten(line["metrics"]).items():
            if _is_number(value):
                found.setdefault(f"{name}{end}", {})[float(step)] = float(value)  # type: ignore[arg-type]
    return found


def learning_curves(board: Leaderboard, axes: Axes, metric: str | None = None) -> Curves | None:
    """The curves by one metric of `metrics.jsonl` (by default held-out data's first).

    A panel a dataset; in it, a curve for each model's best config (without a model: for each of the
    best configs). None where nothing has curves.
    """
    names = group_names(board, without=axes.dataset)
    datasets: dict[str, list[tuple[str, Group]]] = {}
    seen: set[tuple[str, str]] = set()
    for group in board.groups:  # the best first
        where = group.config.get(axes.dataset) if axes.dataset else None
        dataset = "" if where is None else value_text(where)
        name = names[id(group)]
        if axes.model is not None and axes.model in group.config:
            name = value_text(group.config[axes.model])
        if (dataset, name) not in seen:
            seen.add((dataset, name))
            datasets.setdefault(dataset, []).append((name, group))
    panels: list[tuple[str, list[tuple[str, list[Series]]]]] = []
    for dataset, groups in sorted(datasets.items(), key=lambda item: _natural(item[0])):
        if len(panels) == MOST_PANELS:
            break
        found = []
        for name, group in groups:
            series = [curves for row in group.rows[:_MOST_SEEDS] if (curves := curves_of(row))]
            if series:
                found.append((name, series))
            if len(found) == MOST_CURVES:
                break
        if found:
            panels.append((dataset, found))
    known = dict.fromkeys(
        name for _, found in panels for _, runs in found for run in runs for name in run
    )
    if not known:
        return None
    chosen = metric if metric in known else _telling(known)
    made = [CurvePanel(dataset, chosen, tuple(_curves(found, chosen))) for dataset, found in panels]
    return Curves(
        tuple(panel for panel in made if panel.curves),
        chosen,
        tuple(known),
        max(0, len(datasets) - MOST_PANELS),
    )


def _natural(text: str) -> list[tuple[int, str]]:
    """A sort key by which d2 comes before d10."""
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _telling(names: Iterable[str]) -> str:
    """The first name of a metric on held-out data; else the first name."""
    known = list(names)
    for name in known:
        words = name.lower().replace("(", "_").replace(")", "_").replace(" ", "_").split("_")
        if any(word in _HELD_OUT for word in words):
            return name
    return known[0]


def _curves(found: Sequence[tuple[str, list[Series]]], metric: str) -> Iterable[Curve]:
    for name, runs in found:
        at: dict[float, list[float]] = {}
        for run in runs:
            for step, value in run.get(metric, {}).items():
                at.setdefault(step, []).append(value)
        if at:
            steps = _thinned(sorted(at))
            yield Curve(name, steps, tuple(mean(at[step]) for step in steps))


def _thinned(steps: Sequence[float]) -> tuple[float, ...]:
    if len(steps) <= _MOST_POINTS:
        return tuple(steps)
    last = len(steps) - 1
    return tuple(steps[round(i * last / (_MOST_POINTS - 1))] for i in range(_MOST_POINTS))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e308 < value < 1e308
