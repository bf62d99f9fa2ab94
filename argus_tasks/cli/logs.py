"""`argus-tasks logs RUN`: print a run's log and output."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.batch_choice import add_results_root, results_root

if TYPE_CHECKING:
    from argus_tasks.runs.ledger.catalogue import KnownRun

_FOLLOW_EVERY_S = 0.2


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "logs",
        help="print a run's log",
        description="Print what a run has logged and printed; with -f, follow it until the run"
        " ends.",
    )
    parser.add_argument(
        "run", metavar="RUN", help="a run folder, or the beginning of a run id or job id"
    )
    add_results_root(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="follow the log until the run ends"
    )
    parser.set_defaults(handler=logs)


def logs(args: argparse.Namespace) -> int:
    """Print the log."""
    from codecs import getincrementaldecoder

    from argus_tasks.base.files import read_mapping
    from argus_tasks.base.processes import is_dead
    from argus_tasks.runs.record.layout import RUN_JSON, RUN_LOG, RUNNING

    folder = find_run(args.run, results_root(args))

    def running() -> bool:
        record = read_mapping(folder / RUN_JSON)
        return record.get("status") == RUNNING and not is_dead(record.get("owner") or {})

    decoder = getincrementaldecoder("utf-8")("replace")
    with (folder / RUN_LOG).open("rb") as handle:
        while True:
            going_on = args.follow and running()
            sys.stdout.write(decoder.decode(handle.read()))
            sys.stdout.flush()
            if not going_on:
                return 0
            time.sleep(_FOLLOW_EVERY_S)


def find_run(wanted: str, root: Path) -> Path:
    """The newest run folder that matches. Errors: BadInput where there is none."""
    from argus_tasks.runs.record.layout import RUN_LOG

    if (Path(wanted) / RUN_LOG).is_file():
        return Path(wanted)
    return Path(known_run_of(wanted, root).run_dir)


def known_run_of(wanted: str, root: Path) -> KnownRun:
    """The newest run that matches. Errors: BadInput where there is none."""
    from argus_tasks.runs.ledger.catalogue import known_run, known_runs

    folder = Path(wanted).absolute()
    named = known_run(folder.parent, folder.name) if folder.is_dir() else None
    if named is not None:
        return named
    found = [
        run
        for run in known_runs(root)
        if run.run_id.startswith(wanted) or str(run.record.get("job_id")).startswith(wanted)
    ]
    if not found:
        raise BadInput(
            f"RUN is '{wanted}'; expected a run folder, or the beginning of a run id or job id"
            f" under {root}."
        )
    return max(found, key=lambda run: str(run.record.get("started_at")))
