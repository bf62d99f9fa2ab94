"""The leaderboard as text: its columns, digits, summary and notes."""

from __future__ import annotations

import json
import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from argus_tasks.base.ids import canonical_json
from argus_tasks.base.visible import visible
from argus_tasks.provenance.acceptance import FILE_NAME, Acceptances
from argus_tasks.results.read.direction import better_is
from argus_tasks.results.read.rows import STATUSES, OddFolder, Row
from argus_tasks.results.tables.leaderboard import Group, Leaderboard, not_finite_of
from argus_tasks.runs.record.causes import PRUNED

LONGEST_VALUE = 24
LONGEST_LIST = 5
GAP = "  "
NOT_FINITE = "not finite"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; text is to the left, numbers are to the right. `width` is in characters."""

    title: str
    cells: tuple[str, ...]
    is_text: bool = False
    width: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", max(map(len, (self.title, *self.cells))))


def keys_shown(board: Leaderboard) -> list[str]:
    """The config keys that get a column: see `distinguishing_keys`. CSV and JSON have all keys."""
    return distinguishing_keys(board.keys, [group.config for group in board.groups])


def distinguishing_keys(keys: Sequence[str], configs: Sequence[dict[str, Any]]) -> list[str]:
    """The dotted keys that are needed to distinguish the configs.

    Left out is a key that some configs lack (a setting of one model) and whose value follows from a
    text that all configs have (the model): its column would be mostly empty.
    """
    # Only texts are used for this: a number that is different in each group would explain every
    # key.
    kinds = [key for key in keys if all(isinstance(config.get(key), str) for config in configs)]
    return [
        key
        for key in keys
        if all(key in config for config in configs)
        or not any(_follows(key, kind, configs) for kind in kinds)
    ]


def _follows(key: str, kind: str, configs: Sequence[dict[str, Any]]) -> bool:
    implied: dict[str, str] = {}
    for config in configs:
        value = canonical_json([config[key]] if key in config else [])
        if implied.setdefault(config[kind], value) != value:
            return False
    return True


def columns_of(board: Leaderboard, groups: Sequence[Group], width: int) -> list[Column]:
    """Place, config keys, the metric, the numbers of runs, and as many other metrics as fit.

    `width` is in characters. Long values are cut until it fits, as far as that helps.
    """
    for limit in (LONGEST_VALUE, 16, 10):
        columns = _needed(board, groups, limit)
        if _width(columns) <= width:
            break
    for name in board.metrics:
        if name != board.metric:
            column = _metric_column(name, groups, with_std=False)
            if _width([*columns, column]) > width:
                break
            columns.append(column)
    return columns


def _needed(board: Leaderboard, groups: Sequence[Group], limit: int) -> list[Column]:
    keys = keys_shown(board)
    columns = [Column("#", tuple(str(board.rank(index) or "-") for index in range(len(groups))))]
    columns += [
        _config_column(title, key, groups, limit)
        for key, title in zip(keys, titles_of(keys), strict=True)
    ]
    if board.metric is not None:
        columns.append(_metric_column(board.metric, groups, with_std=True))
    if board.has_experiments:
        texts = tuple(", ".join(group.experiments) for group in groups)
        columns.append(Column("experiment", texts, is_text=True))
    if board.has_codes:
        columns.append(Column("code", tuple(map(code_text, groups)), is_text=True))
    columns.append(Column("n", tuple(_count_text(board.metric, group) for group in groups)))
    return columns


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width + len(GAP) for column in columns) - len(GAP)


def left_out(board: Leaderboard, columns: Sequence[Column]) -> list[str]:
    """The metrics that do not fit."""
    shown = {column.title for column in columns}
    return [name for name in board.metrics if name not in shown]


def head_lines(
    board: Leaderboard, rows: Sequence[Row], superseded: int, root: str, width: int
) -> list[str]:
    """The lines above the table."""
    counts = Counter(_word(row) for row in rows)
    counts[NOT_FINITE] = sum(bool(not_finite_of(row)) for row in rows)
    words = (*STATUSES, PRUNED, NOT_FINITE)
    states = ", ".join(f"{counts[word]} {word}" for word in words if counts[word])
    older = f" ({superseded} older of the same configs left out)" if superseded else ""
    lines = [f"{root}: {plural(len(rows), 'run')}{older}: {states}"]
    if board.metric is not None:
        change = "max" if board.direction == "min" else "min"
        why = (
            ""
            if board.direction_is == "given"
            else f" ({board.direction_is}; else --direction {change})"
        )
        lines.append(f"by {board.metric}, {better_is(board.direction)}{why}; mean ± std of n runs")
    if board.constants:
        texts = (f"{key}={value_text(value)}" for key, value in board.constants.items())
        lines += _wrapped(f"all with {', '.join(texts)}", width)
    return list(map(visible, lines))


def foot_lines(
    board: Leaderboard,
    rows: Sequence[Row],
    odd: Sequence[OddFolder],
    columns: Sequence[Column],
    hidden: int,
    width: int,
) -> list[str]:
    """The lines below the table: what it does not show, failures, unreadable folders."""
    lines = []
    if hidden:
        lines.append(f"{plural(hidden, 'more row')}: without --top")
    shown = keys_shown(board)
    unshown = [key for key in board.keys if key not in shown]
    if unshown:
        lines += _wrapped(f"more config keys, in --csv and --json: {', '.join(unshown)}", width)
    odd_runs = {
        name: sum(group.not_finite[name].n for group in board.groups if name in group.not_finite)
        for name in board.metrics
    }
    if any(odd_runs.values()):
        counts = ", ".join(f"{name} in {plural(n, 'run')}" for name, n in odd_runs.items() if n)
        lines += _wrapped(f"not finite, so not ranked: {counts}", width)
    more = left_out(board, columns)
    if more:
        lines += _wrapped(f"more metrics, in --csv and --json: {', '.join(more)}", width)
    codes = Counter(row.code for row in rows if row.code and row.status == "succeeded")
    if len(codes) > 1:
        made = ", ".join(f"{count} by {code}" for code, count in codes.most_common())
        lines += _wrapped(f"runs were made by different code: {made}", width)
    for root in dict.fromkeys(row.path.parent for row in rows if row.manifest):
        for change in Acceptances(root / ".sweep" / FILE_NAME).all:
            lines += _wrapped(f"accepted change of {change.path}: {change.because}", width)
    failures: dict[str, list[Row]] = {}
    for row in rows:
        if row.status == "failed":
            failures.setdefault(_failure(row), []).append(row)
    lines += _some(
        [
            f"{_cut(f'{len(failed)} failed: {text}', width)}\n  see {failed[-1].path}"
            for text, failed in failures.items()
        ],
        "more kinds of failures",
    )
    lines += _some([f"{folder.path}: {folder.sentence}" for folder in odd], "more odd folders")
    return [visible(part) for line in lines for part in line.split("\n")]


def code_text(group: Group) -> str:
    """The code version of a group's runs; with several versions, how many."""
    codes = group.codes
    return f"{len(codes)} codes" if len(codes) > 1 else "".join(codes)


def value_text(value: Any, limit: int = LONGEST_VALUE) -> str:
    """A config's value for a cell: one line of at most `limit` characters."""
    return _cut(value if isinstance(value, str) else _json(value), limit)


def _cut(text: str, limit: int) -> str:
    text = visible(" ".join(text.split()))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _json(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _config_column(title: str, key: str, groups: Sequence[Group], limit: int) -> Column:
    values = [group.config.get(key, "") for group in groups]
    is_text = any(isinstance(value, bool) or not isinstance(value, int | float) for value in values)
    cells = tuple(value_text(value, limit) for value in values)
    return Column(title, cells, is_text)


def titles_of(keys: Sequence[str]) -> list[str]:
    """The last part of each dotted key, if that is unique; else the whole key."""
    last = Counter(key.rpartition(".")[2] for key in keys)
    return [visible(short if last[short := key.rpartition(".")[2]] == 1 else key) for key in keys]


def _metric_column(name: str, groups: Sequence[Group], *, with_std: bool) -> Column:
    found = [group.spread(name) for group in groups]
    have = [spread for spread in found if spread]
    specs = number_specs([spread.mean for spread in have])
    stds = [
        "" if spread.std is None or not with_std else f" ± {spread.std:{spec}}"
        for spread, spec in zip(have, specs, strict=True)
    ]
    longest = max(map(len, stds), default=0)
    texts = (
        f"{spread.mean:{spec}}{std:<{longest}}"
        for spread, spec, std in zip(have, specs, stds, strict=True)
    )
    return Column(visible(name), tuple(next(texts) if spread else "-" for spread in found))


def number_specs(numbers: Sequence[float]) -> list[str]:
    """The format of the numbers of a column.

    One format with four digits of the largest number, if the smallest keeps two of them; else four
    digits for each number. Integers are written in full. Numbers that are not finite have no part
    in it.
    """
    finite = [number for number in numbers if math.isfinite(number)]
    if all(abs(number) < 1e7 and number == int(number) for number in finite):
        return [".0f"] * len(numbers)
    sizes = [abs(number) for number in finite if number]
    if min(sizes) * 100 >= max(sizes):
        return [_spec(max(sizes))] * len(numbers)
    return [_spec(abs(number)) for number in numbers]


def _spec(size: float) -> str:
    exponent = math.floor(math.log10(size)) if 0 < size < math.inf else 0
    return ".3e" if not -4 <= exponent <= 6 else f".{max(3 - exponent, 0)}f"


def _count_text(metric: str | None, group: Group) -> str:
    odd = group.not_finite.get(metric or "")
    if odd is not None:
        return odd_text(odd.n, len(group.rows))
    have = group.metrics[metric].n if metric in group.metrics else 0
    if have == len(group.rows):
        return str(have)
    if have:
        return f"{have} of {len(group.rows)}"
    counts = Counter(_word(row) for row in group.rows)
    return ", ".join(f"{counts[word]} {word}" for word in (*STATUSES, PRUNED) if counts[word])


def odd_text(odd: int, runs: int) -> str:
    """`1 of 2 not finite`; `2 not finite` where it is all of them."""
    return f"{odd}{'' if odd == runs else f' of {runs}'} {NOT_FINITE}"


def _word(row: Row) -> str:
    return PRUNED if row.cause == PRUNED else row.status


def _failure(row: Row) -> str:
    return ": ".join(part for part in (row.error_type or row.cause, row.error_message) if part)


def _some(lines: list[str], more: str) -> list[str]:
    if len(lines) <= LONGEST_LIST:
        return lines
    return [*lines[:LONGEST_LIST], f"and {len(lines) - LONGEST_LIST} {more}"]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False)


def plural(count: int, word: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {word}{'' if count == 1 else 's'}"
