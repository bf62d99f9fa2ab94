"""The plots of docs/performance.md, as SVG with text as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing

from benchmarks.check import figures_of
from benchmarks.curves import curves_of

Results = Mapping[str, Mapping[str, Any]]
OURS, PEER, LATER = "#0b6e4f", "#8a8f98", "#d08c2a"


def write(results: Results, folder: Path) -> None:
    """Write every plot that there are results for."""
    folder.mkdir(parents=True, exist_ok=True)
    # The same results make the same bytes: no date, no random ids.
    with mpl.rc_context({"svg.hashsalt": "argus-tasks", "svg.fonttype": "none", "font.size": 9}):
        for name, draw in (("overhead", _overhead), ("life", _life), ("curves", _curves)):
            drawing = draw(results)
            if drawing is not None:
                path = folder / f"{name}.svg"
                drawing.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def _overhead(results: Results) -> Drawing | None:
    bars: dict[str, tuple[float, float]] = {}
    for file in ("overhead-1000", "others-1000"):
        for name, of in results.get(file, {}).get("contestants", {}).items():
            found = of["summary"]
            if name not in bars and "work_ms" in found:
                work = found["work_ms"]["median"]
                bars[name] = (work, found.get("caught_up_ms", found["work_ms"])["median"])
    if not bars:
        return None
    ordered = sorted(bars.items(), key=lambda of: -of[1][0])
    names = [name for name, _ in ordered]
    drawing = Drawing(figsize=(7.5, 0.32 * len(names) + 0.9))
    axes = drawing.subplots()
    later = [max(caught_up, work) for _, (work, caught_up) in ordered]
    axes.barh(names, later, color=LATER, label="server caught up, or call returned")
    colors = [OURS if name == "ours" else PEER for name in names]
    axes.barh(names, [work for _, (work, _) in ordered], color=colors, label="last run ended")
    axes.set_xscale("log")
    axes.set_xlabel(
        "ms a config, of 1,000 that do nothing, two workers (logarithmic; less is better)"
    )
    for place, (_, (work, _)) in enumerate(ordered):
        axes.annotate(f" {work:.1f}", (later[place], place), va="center")
    axes.margins(x=0.12)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return drawing


def _life(results: Results) -> Drawing | None:
    if "life" not in results:
        return None
    parts = results["life"]["life_ms"]
    colors = mpl.colormaps["tab20"]
    drawing = Drawing(figsize=(7.5, 1.3))
    axes = drawing.subplots()
    left = 0.0
    for place, (name, value) in enumerate(parts.items()):
        axes.barh([""], [value], left=left, color=colors(place % 20), label=f"{name} {value:.2f}")
        left += value
    axes.set_xlabel("CPU ms a config, of all processes")
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.45), ncols=3, frameon=False)
    return drawing


def _curves(results: Results) -> Drawing | None:
    curves = curves_of(figures_of(results))
    if not curves:
        return None
    drawing = Drawing(figsize=(7.5, 4))
    axes = drawing.subplots()
    for name, points in curves.items():
        scale = 1e-3 if "memory" in name else 1.0  # MB as GB: the same axis serves
        label = f"{name} (GB)" if "memory" in name else f"{name} (s)"
        axes.plot([n for n, _ in points], [scale * cost for _, cost in points], "o-", label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("n: configs, or finished runs")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return drawing
