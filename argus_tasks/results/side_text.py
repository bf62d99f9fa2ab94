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
    versions = code_versions(side.rows)
    if versions:
        parts.append(f"code {', '.join(version[:10] for version in versions)}")
    return ", ".join(parts)


def code_versions(rows: Sequence[Row]) -> list[str]:
    """The code versions that the runs ran, each once."""
    return list(dict.fromkeys(row.code_version for row in rows if row.code_version))


def plural(count: int, word: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {word}{'' if count == 1 else 's'}"
