"""Prints tables: in colours on a terminal, as plain text elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

from argus_tasks.results.read.direction import better_is
from argus_tasks.results.read.rows import Rows
from argus_tasks.results.tables.leaderboard import Leaderboard
from argus_tasks.results.tables.pivot import Pivot, pivot_columns
from argus_tasks.results.tables.table import GAP, Column, columns_of, foot_lines, head_lines

PLAIN_WIDTH = 100


def print_leaderboard(
    board: Leaderboard,
    loaded: Rows,
    *,
    root: str,
    superseded: int = 0,
    top: int | None = None,
    out: TextIO | None = None,
) -> None:
    """Print the leaderboard, with a summary above and notes below.

    `loaded` are the rows that count, `superseded` how many older ones do not, `top` how many
    groups are shown. Colours and the terminal's width where `out` is a terminal.
    """
    out = out or sys.stdout
    is_terminal = out.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else PLAIN_WIDTH
    groups = board.groups[:top]
    columns = columns_of(board, groups, width)
    head = head_lines(board, loaded.rows, superseded, root, width)
    hidden = len(board.groups) - len(groups)
    foot = foot_lines(board, loaded.rows, loaded.odd, columns, hidden, width)
    if is_terminal:
        _print_rich(head, columns, foot, out)
    else:
        print(
            "\n".join([*head, "", *plain_lines(columns), *([""] if foot else []), *foot]), file=out
        )


def print_pivot(found: Pivot, out: TextIO | None = None) -> None:
    """Print the pivot, with its metric above."""
    head = f"{found.metric}, {better_is(found.direction)}; * best, ! worst of a {found.column_key}"
    if found.over:
        head += f"\nmean ± std over the seeds and over {', '.join(found.over)}"
    print("\n".join([head, "", *plain_lines(pivot_columns(found))]), file=out or sys.stdout)


def plain_lines(columns: Sequence[Column]) -> list[str]:
    """The table as lines of text: titles, a rule, a line for each group."""
    rows = zip(*(column.cells for column in columns), strict=True)
    return [
        _line(columns, [column.title for column in columns]),
        GAP.join("-" * column.width for column in columns),
        *(_line(columns, cells) for cells in rows),
    ]


def _line(columns: Sequence[Column], cells: Sequence[str]) -> str:
    padded = (
        cell.ljust(column.width) if column.is_text else cell.rjust(column.width)
        for column, cell in zip(columns, cells, strict=True)
    )
    return GAP.join(padded).rstrip()


def _print_rich(
    head: Sequence[str], columns: Sequence[Column], foot: Sequence[str], out: TextIO
) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False)
    table = plain_lines(columns)
    for line in head:
        console.print(Text(line))
    console.print()
    for index, line in enumerate(table):
        style = ("bold", "dim", "bold green")[index] if index < 3 else ""
        console.print(Text(line, style=style), no_wrap=True, crop=False, overflow="ignore")
    if foot:
        console.print()
    for line in foot:
        console.print(Text(line, style="red" if " failed: " in line else "dim"))
