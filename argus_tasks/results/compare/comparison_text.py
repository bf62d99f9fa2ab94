"""A comparison as text: one sentence, a table, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.nested import MISSING, flatten
from argus_tasks.provenance.versions import CodeVersions
from argus_tasks.results.compare.sides import Side, side_text
from argus_tasks.results.compare.verdict import Cell, Comparison, Verdict
from argus_tasks.results.read.direction import better_is
from argus_tasks.results.read.rows import codes_of
from argus_tasks.results.tables.leaderboard import Spread
from argus_tasks.results.tables.render import plain_lines
from argus_tasks.results.tables.table import (
    Column,
    distinguishing_keys,
    number_specs,
    plural,
    titles_of,
    value_text,
)

_ORDER = (Verdict.WORSE, Verdict.BETTER, Verdict.NO_EVIDENCE, Verdict.NOT_COMPARABLE)
_MOST_NAMES = 8


def sentence(found: Comparison) -> str:
    """`worse: mse by 12.3% in ridge nile; 1 of 12 cells worse, 11 no evidence`."""
    counts = [f"{len(cells)} {verdict}" for verdict in _ORDER if (cells := found.those(verdict))]
    largest = ""
    if found.verdict in (Verdict.WORSE, Verdict.BETTER):
        names = cell_names(found)
        cells = found.those(found.verdict)
        texts = [
            f"{names[cell.key]} ({change_text(cell.change, found)})" for cell in cells[:_MOST_NAMES]
        ]
        more = f" and {len(cells) - _MOST_NAMES} more" if len(cells) > _MOST_NAMES else ""
        largest = f" {found.metric} of {', '.join(texts)}{more};"
    return f"{found.verdict}:{largest} of {plural(len(found.cells), 'cell')} {', '.join(counts)}"


def comparison_lines(found: Comparison) -> list[str]:
    """The whole comparison as lines of text."""
    least = f", changes under {found.min_effect} left out" if found.min_effect.size else ""
    lines = [
        f"before: {side_text(found.before)}",
        f"after:  {side_text(found.after)}",
        f"by {found.metric}, {better_is(found.direction)}{least}",
        "",
        *plain_lines(columns_of(found)),
        "",
        sentence(found),
        *_code_lines(found),
    ]
    reasons: dict[str, int] = {}
    for cell in found.those(Verdict.NOT_COMPARABLE):
        reasons[cell.reason] = reasons.get(cell.reason, 0) + 1
    lines += [f"not comparable, {count}: {reason}" for reason, count in reasons.items()]
    for side, where in ((found.before, "before"), (found.after, "after")):
        failed = sum(row.status == "failed" for row in side.rows)
        if failed:
            lines.append(f"{where}: {failed} of {plural(len(side.rows), 'run')} failed")
    return lines


def changed_files(found: Comparison) -> tuple[str, ...] | None:
    """The files that the two sides executed with another content; None where that is not known."""
    names = [[row.manifest for row in side.rows if row.manifest] for side in _sides(found)]
    if not all(names):
        return None
    roots = dict.fromkeys(row.path.parent for side in _sides(found) for row in side.rows)
    return CodeVersions(roots).differing(*names)


def _sides(found: Comparison) -> tuple[Side, Side]:
    return found.before, found.after


def _code_lines(found: Comparison) -> list[str]:
    files = changed_files(found)
    if files is None:
        return []
    if not files:
        return ["code: what both sides executed is the same"]
    more = f" and {len(files) - _MOST_NAMES} more" if len(files) > _MOST_NAMES else ""
    return [f"code: {plural(len(files), 'file')} changed: {', '.join(files[:_MOST_NAMES])}{more}"]


def cell_names(found: Comparison) -> dict[str, str]:
    """A short name for each cell, by its key: the values by which they differ."""
    keys, configs = _keys(found.cells)
    return {
        cell.key: " ".join(value_text(config[key]) for key in keys if key in config) or "all"
        for cell, config in zip(found.cells, configs, strict=True)
    }


def columns_of(found: Comparison) -> list[Column]:
    """Verdict, the config keys that differ, both means, the change with its interval, n."""
    cells = sorted(found.cells, key=lambda cell: _ORDER.index(cell.verdict))
    keys, configs = _keys(cells)
    columns = [Column("verdict", tuple(str(cell.verdict) for cell in cells), is_text=True)]
    for key, title in zip(keys, titles_of(keys), strict=True):
        texts = tuple(value_text(config[key]) if key in config else "" for config in configs)
        columns.append(Column(title, texts, is_text=True))
    columns.append(_means("before", [cell.before for cell in cells]))
    columns.append(_means("after", [cell.after for cell in cells]))
    columns.append(Column("change", tuple(change_text(cell.change, found) for cell in cells)))
    columns.append(Column("interval", tuple(_interval(cell, found) for cell in cells)))
    columns.append(Column("n", tuple(_count(cell) for cell in cells)))
    return columns


def change_text(change: float | None, found: Comparison) -> str:
    """`+12.3%`, or `+0.012` where changes are differences."""
    if change is None:
        return "-"
    if not found.relative:
        return f"{change:+.3g}"
    return f"{change:+.1%}" if abs(change) >= 0.001 or not change else f"{change * 100:+.2g}%"


def json_value(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON values. Numbers that are not finite are null, and in `nonfinite` by
    their dotted path."""
    nonfinite: dict[str, str] = {}
    value = to_jsonable(
        {
            "verdict": found.verdict,
            "sentence": sentence(found),
            "metric": found.metric,
            "direction": found.direction,
            "min_effect": str(found.min_effect),
            "change_is": "share" if found.relative else "difference",
            "changed_files": changed_files(found),
            "before": _side(found.before),
            "after": _side(found.after),
            "cells": [
                {name: getattr(cell, name) for name in Cell.__dataclass_fields__ if name != "key"}
                for cell in found.cells
            ],
        },
        nonfinite,
    )
    assert isinstance(value, dict)
    return {**value, "nonfinite": nonfinite}


def _side(side: Side) -> dict[str, Any]:
    return {
        "label": side.label,
        "batch_id": side.batch_id,
        "name": side.name,
        "created_at": side.created_at,
        "runs": len(side.rows),
        "failed": sum(row.status == "failed" for row in side.rows),
        "codes": codes_of(side.rows),
        "host_kinds": sorted({row.host_kind for row in side.rows if row.host_kind}),
    }


def _keys(cells: Sequence[Cell]) -> tuple[list[str], list[dict[str, Any]]]:
    """The dotted keys by which the cells differ, and the cells' configs by dotted key."""
    configs = [flatten(cell.config) for cell in cells]
    known = dict.fromkeys(key for config in configs for key in config)
    differ = [
        key
        for key in known
        if any(config.get(key, MISSING) != configs[0].get(key, MISSING) for config in configs)
    ]
    return distinguishing_keys(differ, configs), configs


def _means(title: str, found: Sequence[Spread | None]) -> Column:
    have = [spread for spread in found if spread]
    specs = iter(number_specs([spread.mean for spread in have]) if have else [])
    texts = []
    for spread in found:
        if spread is None:
            texts.append("-")
            continue
        spec = next(specs)
        std = "" if spread.std is None else f" ± {spread.std:{spec}}"
        texts.append(f"{spread.mean:{spec}}{std}")
    return Column(title, tuple(texts))


def _interval(cell: Cell, found: Comparison) -> str:
    if cell.low is None or cell.high is None:
        return ""
    return f"{change_text(cell.low, found)} .. {change_text(cell.high, found)}"


def _count(cell: Cell) -> str:
    if cell.pairs:
        return plural(cell.pairs, "pair")
    return f"{cell.before.n if cell.before else 0}, {cell.after.n if cell.after else 0}"
