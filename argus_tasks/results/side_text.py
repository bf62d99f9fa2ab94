"""A side of a comparison in a line."""

from __future__ import annotations

from collections.abc import Sequence

from argus_tasks.results.rows import Row
from argus_tasks.results.sides import Side


def side_text(side: Side) -> str:
    """What a side is: label, date, number of runs, code."""
    parts = [side.label]
    if side.batch_id and side.batch_id != side.label:
        parts.append(f"batch {side.batch_id}")
    if side.created_at:
        parts.append(side.created_at[:16].replace("T", " "))
    parts.append(plural(len(side.rows), "run"))
    names = code_names(side.rows)
    if names:
        parts.append(f"code {', '.join(names)}")
    return ", ".join(parts)


def code_versions(rows: Sequence[Row]) -> list[str]:
    """The code versions that the runs ran, each once."""
    return list(dict.fromkeys(row.code_version for row in rows if row.code_version))


def code_names(rows: Sequence[Row]) -> list[str]:
    """The same in a few letters: the commit's beginning, and `+` with that of a hash of what the
    work tree had beside it."""
    names: dict[str, None] = {}
    for row in rows:
        if row.code_version:
            beside = (row.code or "").partition("+")[2]
            names[row.code_version[:10] + (f"+{beside[:4]}" if beside else "")] = None
    return list(names)


def plural(count: int, word: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {word}{'' if count == 1 else 's'}"
