"""The table of ways in docs/provenance.md: `python -m tests.unit.provenance.ways_table`."""

from __future__ import annotations

from pathlib import Path

from tests.unit.provenance.ways import ALL, WAYS

PAGE = Path(__file__).parents[3] / "docs" / "provenance.md"
MARK = "<!-- ways: python -m tests.unit.provenance.ways_table -->\n"


def table() -> str:
    """The lines of the table."""
    lines = ["| # | what changed | answer | named | modes |", "|---|---|---|---|---|"]
    for way in WAYS:
        what = way.find.__name__.replace("_", " ")
        files = ", ".join(f"`{name}`" for name in way.files) or "–"
        modes = "all" if way.modes == ALL else ", ".join(way.modes)
        lines.append(f"| {way.number} | {what} | {way.state.name.lower()} | {files} | {modes} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(f"{text}{MARK}\n{table()}")
