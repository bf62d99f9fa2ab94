"""`argus-tasks status`: how far the sweeps of a results root have come, read from their files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.batch_choice import add_results_root, find_batches, results_root
from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.runs.ledger.sweep_folder import SweepFolder


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "status",
        help="show how far sweeps have come, also while they run",
        description="Show how many configs of each sweep have succeeded, failed or not started,"
        " read from the files of a results root. With --repair, also close the task runs and jobs"
        " that killed processes have left as running on Prefect's server and the monitor.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        metavar="DIR|BATCH",
        help="the results root (default: results/ here or in git's top folder), a batch id,"
        " or a sweep's name",
    )
    parser.add_argument(
        "--batch", metavar="ID", help="only this batch, or the batches of this sweep"
    )
    add_results_root(parser)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="correct Prefect's server and the monitor where they differ from the files",
    )
    parser.set_defaults(handler=status)


def status(args: argparse.Namespace) -> int:
    """Print each batch."""
    root, batch = _where(args)
    kind = "batch or sweep" if args.batch else "folder, batch or sweep"
    for folder in find_batches(root, batch, kind):
        _print_batch(folder)
    return _repair(root) if args.repair else 0


def _where(args: argparse.Namespace) -> tuple[Path, str | None]:
    """The results root, and the batch; None for all of them. Errors: BadInput."""
    if args.what is None:
        return results_root(args), args.batch
    if Path(args.what).is_dir():
        if args.results_root is not None:
            raise BadInput("DIR and --results-root are both given; expected one results root.")
        return Path(args.what), args.batch
    if args.batch is not None:
        raise BadInput(
            f"BATCH and --batch are both given, and '{args.what}' is no folder; expected one."
        )
    return results_root(args), args.what


def _print_batch(folder: SweepFolder) -> None:
    from argus_tasks.admission.hold_notice import holding_reasons

    sessions = folder.sessions()
    state = folder.state() or {}
    counts, total = _counts(folder)
    say(f"{folder.batch_id}  {state.get('name')} (project {state.get('project')})")
    counted = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    say(f"  {total} configs: {counted}")
    for session in sessions[-1:]:
        if session.get("closed_at"):
            how = f"ended {session['closed_at'][:19]}: {session.get('how')}"
        elif folder.is_over(session):
            how = "its process is gone; the same command continues the sweep"
        else:
            process = session.get("process") or {}
            how = f"running: process {process.get('pid')} on {process.get('host')}"
            how += "".join(f"\n    holding: {reason}" for reason in holding_reasons(folder.path))
        for reason in session.get("reasons") or ():
            if reason != session.get("how"):
                how += f"\n    {reason}"
        say(f"  session {len(sessions)}, since {session['opened_at'][:19]}: {how}")


def _counts(folder: SweepFolder) -> tuple[dict[str, int], int]:
    """How many configs of the last plan have each status, by their run folders; and how many
    configs there are."""
    from argus_tasks.runs.ledger.catalogue import newest_by_digest

    known = newest_by_digest(folder.path.parents[1])
    counts = dict.fromkeys(("succeeded", "running", "failed", "skipped", "stopped"), 0)
    total = waiting = 0
    for line in folder.plan():
        total += 1
        run = known.get(line.get("digest") or "")
        if run is None:
            waiting += 1
        elif run.resumable:
            counts["stopped"] += 1
        else:
            counts[run.status] = counts.get(run.status, 0) + 1
    search = ((folder.sessions() or [{}])[-1].get("recipe") or {}).get("search")
    if search:  # trials that have not been asked
        waiting += max(0, search["trials"] - total)
        total = max(total, search["trials"])
    return {**counts, "not started": waiting}, total


def _repair(root: Path) -> int:
    from argus_tasks.monitoring.orphaned_jobs import close_orphaned_batches

    for closed in close_orphaned_batches(root):
        say(f"closed {closed.batch_id} on the monitor: {closed.jobs} jobs")
    from argus_tasks.cli.prefect import using_prefect

    with using_prefect(notice=print) as server:
        _print_repairs(root, server)
    return 0


def _print_repairs(root: Path, server: str) -> None:
    from argus_tasks.orchestration.mirror.repair import repair_past

    repairs: list[Any] = repair_past(root, server, deadline_s=60, settled_too=True)
    for repair in repairs:
        left = f", {repair.left} still wrong" if repair.left else ""
        say(f"repaired {repair.batch_id} {repair.session}: {repair.task_runs} task runs{left}")
    if not repairs:
        say("Prefect's server has nothing to repair")
