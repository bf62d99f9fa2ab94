"""Tables for papers and pages: Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from argus_tasks.results.tables.table import Column

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "…": r"\ldots{}",
}
BOLD_MARKDOWN = "**{}**"
# Between control characters that no cell has, so that escaping leaves it alone.
_BEGIN, _END = "\x02", "\x03"
BOLD_LATEX = _BEGIN + "{}" + _END


def markdown(columns: Sequence[Column]) -> str:
    """The columns as a Markdown table."""
    lines = [
        _markdown_line([column.title for column in columns]),
        _markdown_line([":--" if column.is_text else "--:" for column in columns]),
    ]
    lines += [_markdown_line(cells) for cells in _rows(columns)]
    return "\n".join(lines) + "\n"


def latex(columns: Sequence[Column]) -> str:
    """The columns as a LaTeX tabular with the rules of the package booktabs."""
    kinds = "".join("l" if column.is_text else "r" for column in columns)
    lines = [
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _latex_line([column.title for column in columns]),
        r"\midrule",
        *(_latex_line(cells) for cells in _rows(columns)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _rows(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    return list(zip(*(column.cells for column in columns), strict=True))


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(_latex_text(cell) for cell in cells) + r" \\"


def _latex_text(text: str) -> str:
    escaped = "".join(_LATEX.get(char, char) for char in text)
    return escaped.replace(_BEGIN, r"\textbf{").replace(_END, "}")
