"""`argus-tasks report`: write one HTML page on a results root."""

from __future__ import annotations

import argparse
from pathlib import Path

from argus_tasks.cli.say import say, write_asked


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        help="write an HTML page: what is best, and by how much",
        description="Read the run folders in DIR and write a report: one HTML file that needs no"
        " network. It needs no server, and also works while a sweep runs.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="DIR",
        help="the results root (default: results/ here or in git's top folder)",
    )
    parser.add_argument(
        "--batch", metavar="ID", help="only the runs of this batch, and those that it has reused"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page's file (default: DIR/report.html; with --batch DIR/report-ID.html)",
    )
    parser.add_argument("--metric", metavar="M", help="compare by this metric (default: the first)")
    parser.add_argument(
        "--direction",
        choices=("min", "max"),
        help="whether less or more is better (default: guessed from the metric's name)",
    )
    parser.add_argument(
        "--model",
        metavar="KEY",
        help="the config key that names what is compared (default: found from the configs)",
    )
    parser.add_argument(
        "--dataset",
        metavar="KEY",
        help="the config key that names the data (default: found from the configs)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.set_defaults(handler=write)


def write(args: argparse.Namespace) -> int:
    """Write the report; print its conclusions and its path."""
    from argus_tasks.results.read.load import load_batch
    from argus_tasks.results.read.needs import needs_plotting

    needs_plotting()
    from argus_tasks.planning.defaults import results_root_here
    from argus_tasks.results.compare.sides import batch_side
    from argus_tasks.results.report.page import ReportRequest, make_report

    folder: Path = args.folder or results_root_here()
    loaded, superseded = load_batch(folder, None)
    root = folder.resolve()
    rows = loaded.rows
    if args.batch is not None:
        rows, superseded = batch_side(folder, args.batch).rows, 0
    made = make_report(
        ReportRequest(
            root,
            rows,
            loaded.odd,
            superseded,
            args.batch,
            args.metric,
            args.direction,
            args.model,
            args.dataset,
        )
    )
    name = "report.html" if args.batch is None else f"report-{args.batch}.html"
    target = args.out or folder / name
    write_asked(target, made.html)
    say("\n".join(made.sentences))
    say(f"report: {target.resolve()}")
    if args.open:
        import webbrowser

        webbrowser.open(target.resolve().as_uri())
    return 0
