"""docs/performance.md with its plots, and the README's table: python -m benchmarks.page

Made from benchmarks/record.json and benchmarks/reasons.toml, and from nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import life, resume, starting
from benchmarks.check import figures_of, load_accepted
from benchmarks.curves import curves_of, growths_of
from benchmarks.figures import shown
from benchmarks.harness import ROOT
from benchmarks.overhead_report import HEAD as OVERHEAD_HEAD
from benchmarks.overhead_report import rows as overhead_rows
from benchmarks.readme_table import readme_table
from benchmarks.record import load_record
from benchmarks.targets import judged, reasons

PAGE = ROOT / "docs" / "performance.md"
README = ROOT / "README.md"
PLOTS = ROOT / "docs" / "performance"
START, END = "<!-- table: benchmarks/page.py -->", "<!-- end of table -->"
OVERHEADS = (
    ("overhead-100", "100 no-ops"),
    ("overhead-1000", "1,000 no-ops"),
    ("overhead-10000", "10,000 no-ops"),
    ("others-1000", "1,000 no-ops, the other peers (a process each, or slow: fewer)"),
    ("stock-1000", "1,000 no-ops, Prefect's own server on its default settings"),
)

Results = Mapping[str, Mapping[str, Any]]

INTRO = """\
# Performance

This page is made by `make bench` (less than ten minutes) and `make bench-full` (an hour or more)
from what they keep in `benchmarks/record.json`; nobody writes its figures by hand. How each is
measured is in `benchmarks/README.md`, what each contestant is set to below.

Contestants take turns in one run, each time as a new process. A ratio is ours over the peer's, of
neighbours in one turn: less is better, the median is claimed, and the least and the greatest stand
behind it. Ratios say more than seconds, which are those of this machine and of what else it did."""


LIFE = """\
![A config's life, as a stacked bar](performance/life.svg)

CPU milliseconds a config, of all processes, over the whole sweep. py-spy's samples of the flow's
process (those that hold Python's lock) say how its share is made up; imports are left out. There is
no monitor: hooks and events cost nothing then; what one adds is measured by `benchmarks.monitor`.
Most of the files, and the other end of the IPC, are the workers'."""


def performance_page(results: Results) -> str:
    """The page, as Markdown."""
    figures = figures_of(results)
    parts = [INTRO, _machines(results), "## Targets", _targets(results)]
    parts += ["## What a config costs", _overheads(results)]
    if "life" in results:
        parts += ["## A config's life", LIFE, _table(life.HEAD, life.rows(dict(results["life"])))]
    if "starting" in results:
        parts += ["## Starting", _table(starting.HEAD, starting.rows(results["starting"]))]
    if "resume" in results:
        head = ("finished runs", *resume.sizes(results["resume"]))
        parts += ["## Many finished runs", _table(head, resume.rows(results["resume"]))]
    if curves_of(figures):
        parts += ["## As work grows", _growth(results)]
    return "\n\n".join(parts) + "\n"


def _machines(results: Results) -> str:
    rows = []
    for name, of in results.items():
        if "figures" not in of and "life_ms" not in of:
            continue
        machine, versions = of["machine"], of["versions"]
        rows.append(
            [
                name,
                of["started_at"][:16].replace("T", " "),
                versions["git"][:12] + (" +" if "changed" in versions["git"] else ""),
                f"{machine['cpu']}, {machine['cores_usable']} cores",
                machine["python"],
                f"{machine['load_before'][0]:g}",
            ]
        )
    head = ("results", "measured (UTC)", "commit", "machine", "Python", "load before")
    return _table(head, rows) + "\n\nA `+` after the commit: with changes not committed then."


def _targets(results: Results) -> str:
    figures, why = figures_of(results), reasons()
    rows, notes = [], []
    for each in judged(figures):
        key = each.target.figure
        rows.append([each.target.words, each.value_shown(), each.target_shown(), each.words])
        if each.found is not None and not each.met:
            of = why.get(key, {})
            said = of.get("reason", "no reason has been written down yet.")
            further = f" Next: {of['next']}" if "next" in of else ""
            notes.append(f"- **{each.target.words}**: {said}{further}")
    text = _table(("what", "figure", "target", ""), rows)
    if notes:
        text += "\n\nNot met, why, and what to try next:\n\n" + "\n".join(notes)
    return text


def _overheads(results: Results) -> str:
    parts = ["![Milliseconds a config, beside the peers](performance/overhead.svg)"]
    for name, words in OVERHEADS:
        of = results.get(name)
        if of is None:
            continue
        parts += [f"### {words}", _table(OVERHEAD_HEAD, overhead_rows(of)), _ratios(name, of)]
    settings = {
        name: contestant["settings"]
        for file, _ in OVERHEADS
        for name, contestant in results.get(file, {}).get("contestants", {}).items()
    }
    parts.append("The contestants' settings:")
    parts.append(_table(("contestant", "settings"), [[k, f"`{v}`"] for k, v in settings.items()]))
    return "\n\n".join(parts)


def _ratios(name: str, of: Mapping[str, Any]) -> str:
    key = f"{name.split('-')[0]}.{of['options']['n']}"
    peers = [peer for peer in of["contestants"] if peer != "ours"]
    rows = []
    for peer in peers:
        found = {
            measure: of["figures"].get(f"{key}.{peer}.{measure}")
            for measure in ("work", "caught_up", "exit", "cpu", "server_cpu")
        }
        if any(found.values()):
            cells = [
                f"{shown(one['median'], 'ratio')} ({shown(one['min'], 'ratio')} to "
                f"{shown(one['max'], 'ratio')})"
                if one
                else "-"
                for one in found.values()
            ]
            rows.append([f"ours / {peer}", *cells])
    head = ("ratio by turns", "last run ended", "caught up", "process ended", "CPU", "server's CPU")
    return _table(head, rows)


def _growth(results: Results) -> str:
    figures = figures_of(results)
    curves = curves_of(figures)
    rows = []
    for name, of in growths_of(figures).items():
        word = (
            "**worse than n log n**"
            if of.worse_than_n_log_n
            else "worse than linear, not than n log n"
            if of.worse_than_linear
            else "linear or better"
        )
        points = ", ".join(f"{n:,}: {cost:.3g}" for n, cost in curves[name])
        rows.append([name, points, f"{of.linear:.2f}", f"{of.n_log_n:.2f}", word])
    head = ("curve", "n: seconds (memory: MB)", "slope against n", "against n log n", "")
    return (
        "![Costs against n](performance/curves.svg)\n\n"
        "The slope on paper that is logarithmic both ways, of all points or of the last two,"
        " whichever is steeper; 1 is linear, and up to 1.1 is called so.\n\n" + _table(head, rows)
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def put_between_marks(text: str, table: str) -> str:
    """The text with the table between the marks. Errors: ValueError where there are none."""
    before, mark, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"there is no {START} ... {END}")
    return f"{before}{START}\n{table}\n{END}{after}"


def write_all() -> None:
    """Write the page, its plots, and the README's table."""
    from benchmarks import plots

    results = load_record()
    PAGE.write_text(performance_page(results), encoding="utf-8")
    plots.write(results, PLOTS)
    text = README.read_text(encoding="utf-8")
    README.write_text(put_between_marks(text, readme_table(results)), encoding="utf-8")


def summary() -> list[str]:
    """What the results come to, for who has made them."""
    figures, why = figures_of(load_record()), reasons()
    lines = []
    for each in judged(figures):
        word = each.words.replace("*", "")
        lines.append(
            f"{word:14} {each.target.words}: {each.value_shown()}, target {each.target_shown()}"
        )
        if each.found is not None and not each.met and each.target.figure not in why:
            lines.append(
                f"{'':14} write why into benchmarks/reasons.toml: [{each.target.figure!r}]"
            )
    if not load_accepted():
        lines.append("nothing has been accepted yet: make bench-accept")
    return lines


if __name__ == "__main__":
    write_all()
    sys.exit(0)
