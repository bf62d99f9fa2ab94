"""A side of a comparison in a line."""

from __future__ import annotations

from argus_tasks.results.compare.sides import Side
from argus_tasks.results.read.rows import codes_of


def side_text(side: Side) -> str:
    """What a side is: label, date, number of runs, code."""
    parts = [side.label]
    if side.batch_id and side.batch_id != side.label:
        parts.append(f"batch {side.batch_id}")
    if side.created_at:
        parts.append(side.created_at[:16].replace("T", " "))
    parts.append(plural(len(side.rows), "run"))
    codes = codes_of(side.rows)
    if codes:
        parts.append(f"code {', '.join(codes)}")
    return ", ".join(parts)


def plural(count: int, word: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {word}{'' if count == 1 else 's'}"
