"""Figures as SVG that takes its colours from the page, so that they follow light and dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from argus_tasks.results.report.page_template import package_text, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#fe0001"
MUTED = "#fe0002"
GRID = "#fe0003"
SERIES = tuple(f"#fe001{number}" for number in range(8))
GOOD = "#fe0004"
BAD = "#fe0005"
OTHER = "#fe0006"

# Colours that nobody sees: each stands for a variable of the page's style sheet.
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    GOOD: "--good",
    BAD: "--bad",
    OTHER: "--other",
    **{colour: f"--s{number}" for number, colour in enumerate(SERIES)},
}
_SETTINGS: dict[str, object] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a user's "$" is a dollar
    "axes.formatter.use_mathtext": False,
    "font.size": 9.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.facecolor": "none",
    "hatch.color": INK,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "path.simplify": True,
}
_ids = count()


@contextmanager
def figure(width_in: float, height_in: float) -> Iterator[Figure]:
    """A figure of that many inches, under the report's settings."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = _SETTINGS
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that the measuring font lacks
        yield Figure(figsize=(width_in, height_in), layout="constrained")


def svg_of(drawn: Figure, description: str) -> Markup:
    """The figure as an inline SVG; to be called within `figure`."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.StringIO()
    canvas: Any = FigureCanvasSVG(drawn)
    canvas.print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    prefix = f"f{next(_ids)}-"
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{prefix}", text)
    text = re.sub(r"#fe00[01][0-9a-f]", _variable, text)
    text = re.sub(r"font: ([^;\"]*?)px '[^\"]*?(?=;|\")", r"font: \1px var(--font)", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert found is not None
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns:xlink="{}"').format(
        found[1], found[2], shown(description), "http://www.w3.org/1999/xlink"
    )
    return Markup(f"{head}{text[text.index('>') :]}")


def standing_alone(drawn: Markup) -> str:
    """A figure of `svg_of` as a file of its own, in the page's light colours."""
    css = package_text("report.css")
    colours = css[: css.index("}") + 1]
    head, _, body = drawn.partition(">")
    return (
        f'{head} xmlns="http://www.w3.org/2000/svg">'
        f"<style>{colours}</style>"
        f'<rect width="100%" height="100%" style="fill: var(--card)"/>{body}'
    )


def _variable(found: re.Match[str]) -> str:
    name = _VARIABLES.get(found[0])
    return f"var({name})" if name else found[0]


def plain(text: str, limit: int = 26) -> str:
    """A user's text for a figure: one line, cut, without what fonts and SVG cannot hold."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
