"""The leaderboard as CSV and JSON, with every digit of the run folders."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.visible import visible
from argus_tasks.results.read.rows import STATUSES, OddFolder, Row, Rows
from argus_tasks.results.tables.leaderboard import Group, Leaderboard, numbers_of

_FORMULAS = ("=", "+", "-", "@", "\t", "＝", "＋", "－", "＠")


def csv_text(board: Leaderboard) -> str:
    """A line for each group: place, config, numbers of runs, codes; of each metric mean, std, the
    mean's 95 % interval and n, and where it is not finite in some runs, in how many.

    Where a metric's name is a config key's too, the config's column is named `config.<key>`. A text
    that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    keys = [*board.constants, *board.keys]
    odd = {name for group in board.groups for name in group.not_finite}
    ends = ("", "_std", "_low", "_high", "_n")
    metrics = [
        name + end
        for name in board.metrics
        for end in (*ends, *(("_not_finite",) if name in odd else ()))
    ]
    fixed = ["rank", "runs", *STATUSES, "code"]
    taken = {*metrics, *fixed}
    titles = [f"config.{key}" if key in taken else key for key in keys]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_inert, ["rank", *titles, "runs", *STATUSES, "code", *metrics]))
    for index, group in enumerate(board.groups):
        config = {**board.constants, **group.config}
        line: list[Any] = [
            board.rank(index),
            *(_cell(config.get(key)) for key in keys),
            len(group.rows),
        ]
        line += [group.count(status) for status in STATUSES]
        line.append("; ".join(group.codes))
        for name in board.metrics:
            line += _spread(group, name)
            if name in odd:
                line.append(group.not_finite[name].n if name in group.not_finite else 0)
        writer.writerow(line)
    return out.getvalue()


def json_value(board: Leaderboard, loaded: Rows) -> dict[str, Any]:
    """The leaderboard, its runs, and the unreadable folders. Numbers that are not finite are null,
    and in `nonfinite` by their dotted path."""
    nonfinite: dict[str, str] = {}
    value = to_jsonable(
        {
            "metric": board.metric,
            "direction": board.direction,
            "direction_is": board.direction_is,
            "group_by": board.keys,
            "constants": board.constants,
            "groups": [
                _group(group, board.rank(index)) for index, group in enumerate(board.groups)
            ],
            "runs": [_run(row) for row in loaded.rows],
            "odd_folders": [_odd(folder) for folder in loaded.odd],
        },
        nonfinite,
    )
    assert isinstance(value, dict)
    return {**value, "nonfinite": nonfinite}


def _spread(group: Group, name: str) -> list[Any]:
    found = group.metrics.get(name)
    if found is None:
        odd = group.not_finite.get(name)
        return ["" if odd is None else odd.mean, "", "", "", _finite(group, name)]
    return [found.mean, found.std, found.low, found.high, found.n]


def _finite(group: Group, name: str) -> int:
    """In how many runs the metric is finite."""
    return sum(name in numbers_of(row) for row in group.rows)


def _group(group: Group, rank: int | None) -> dict[str, Any]:
    return {
        "rank": rank,
        "config": group.config,
        "runs": len(group.rows),
        **{status: group.count(status) for status in STATUSES},
        "metrics": {
            **{
                name: {key: getattr(found, key) for key in ("mean", "std", "low", "high", "n")}
                for name, found in group.metrics.items()
            },
            **{
                name: {"mean": odd.mean, "n": _finite(group, name), "not_finite": odd.n}
                for name, odd in group.not_finite.items()
            },
        },
        "run_ids": [row.run_id for row in group.rows],
    }


def _run(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Row.__dataclass_fields__}


def _odd(folder: OddFolder) -> dict[str, Any]:
    return {"path": folder.path, "reason": folder.sentence}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return _inert(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return "" if value is None else json.dumps(to_jsonable(value), ensure_ascii=False)


def _inert(text: str) -> str:
    """A text without a spreadsheet's formulas and a terminal's control characters."""
    try:
        float(text)
    except ValueError:
        pass
    else:
        return text  # "-0.5" is a number, not a formula
    text = visible(text)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULAS) else text
