"""`argus-tasks verify`: check that files, events and Prefect's server agree."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from argus_tasks.base.errors import ArgusTasksError, BadInput
from argus_tasks.cli.batch_choice import existing_root
from argus_tasks.cli.codes import EXIT_OK, EXIT_SOME_FAILED
from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.delivery.outbox_folder import Outbox
    from argus_tasks.runs.ledger.checked_files import VerifyResult

_LOOKS = 6
_PAUSE_S = 0.25


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="check that a results root is complete and unchanged",
        description="Compute every checksum of a results root again, and compare plan, ledger, run"
        " folders, events and Prefect's server with each other. Changes nothing. Exit code 1"
        " if something is wrong; each finding names its file.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="DIR",
        help="the results root (default: results/ here or in git's top folder)",
    )
    parser.add_argument("--batch", metavar="ID", help="only what belongs to this batch")
    parser.add_argument(
        "--prefect",
        action=argparse.BooleanOptionalAction,
        help="also compare with Prefect's server, and start the embedded one for it"
        " (default: if PREFECT_API_URL is set)",
    )
    parser.set_defaults(handler=verify)


def verify(args: argparse.Namespace) -> int:
    """Print what was found."""
    from argus_tasks.planning.defaults import results_root_here
    from argus_tasks.runs.ledger.verification import verify as verified

    root = existing_root(args.folder or results_root_here())
    verdict = verified(root, args.batch)
    if args.batch is not None and args.batch not in verdict.outcomes:
        known = ", ".join(sorted(verdict.outcomes)) or "none"
        raise BadInput(f"there is no batch '{args.batch}' under {root}; there are: {known}.")
    _print_counts(verdict)
    for line in _code_lines(root, args.batch):
        say(line)
    wrong = [
        f"{os.path.relpath(finding.path, root)}: {finding.sentence}" for finding in verdict.findings
    ]
    wrong += _events(verdict.outcomes)
    wrong += _prefect(args, root)
    for line in wrong:
        say(f"WRONG {line}")
    say(f"{len(wrong)} findings" if wrong else "all is whole")
    return EXIT_SOME_FAILED if wrong else EXIT_OK


def _print_counts(verdict: VerifyResult) -> None:
    for batch_id, counts in verdict.outcomes.items():
        counted = ", ".join(f"{count} {word}" for word, count in counts.items())
        say(f"{batch_id}: {sum(counts.values())} configs: {counted or 'none'}")
    say(f"{verdict.runs} runs, {verdict.files} files compared with their checksums")
    if verdict.unchecked:
        say(f"{verdict.unchecked} runs have no checksums in a ledger: only read")


def _code_lines(root: Path, batch_id: str | None) -> list[str]:
    """What there is to know of the code of the runs: repeats of several versions of it, and
    changes that somebody has accepted. Neither is wrong."""
    from argus_tasks.base.visible import visible
    from argus_tasks.provenance.acceptance import FILE_NAME, Acceptances
    from argus_tasks.results.read.repeats import repeats_of_several_codes
    from argus_tasks.results.read.rows import load_rows
    from argus_tasks.runs.record.layout import SWEEP_FOLDER

    rows = [row for row in load_rows(root).rows if batch_id in (None, row.batch_id)]
    lines = [
        f"repeats of {text} were made by several versions of the code: {codes}"
        for text, codes in repeats_of_several_codes(rows).items()
    ]
    lines += [
        f"accepted by {each.by or 'somebody'} on {each.at[:10]}: {each.path}: {each.because}"
        for each in Acceptances(root / SWEEP_FOLDER / FILE_NAME).all
    ]
    return list(map(visible, lines))


def _events(batch_ids: Iterable[str]) -> list[str]:
    """Print each batch's count of events: emitted = delivered + waiting + set aside + dropped."""
    from argus_tasks.delivery.outbox_counts import accounts
    from argus_tasks.delivery.outbox_folder import outboxes

    wrong = []
    asked = tuple(batch_ids)
    for outbox in outboxes():
        for account in accounts(outbox):
            # A batch that is done continues as ID.2, ID.3 on the monitor.
            if account.batch_id.partition(".")[0] not in asked or not account.emitted:
                continue
            dropped = sum(account.dropped.values())
            say(
                f"{account.batch_id}: {account.emitted} events: {account.delivered} delivered,"
                f" {account.waiting} waiting, {account.set_aside} set aside, {dropped} dropped"
            )
            missing = account.missing and _still_missing(outbox, account.batch_id)
            if missing:
                wrong.append(
                    f"{outbox.folder}: {missing} of {account.emitted} events of"
                    f" {account.batch_id} are missing"
                )
    return wrong


def _still_missing(outbox: Outbox, batch_id: str) -> int:
    """How many events are nowhere; looks again, for a sender may be moving them right now."""
    from argus_tasks.delivery.outbox_counts import account

    missing = 0
    for _ in range(_LOOKS):
        time.sleep(_PAUSE_S)
        missing = account(outbox, batch_id).missing
        if not missing:
            break
    return missing


def _prefect(args: argparse.Namespace, root: Path) -> list[str]:
    from argus_tasks.cli.prefect import using_prefect
    from argus_tasks.server.profile import configured_api_url

    wanted = args.prefect if args.prefect is not None else configured_api_url() is not None
    if not wanted:
        say("not compared with Prefect's server (--prefect does)")
        return []
    wrong, sessions, right = [], 0, 0
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    try:
        with using_prefect(notice=print) as server:
            from argus_tasks.orchestration.mirror.checking import check_mirrors

            for check in check_mirrors(root, server, args.batch):
                sessions, right = sessions + 1, right + check.right
                wrong += [f"{check.batch_id} on Prefect: {one}" for one in check.differences]
    except ArgusTasksError as error:
        if args.prefect:
            raise  # it was asked for
        say(f"not compared with Prefect's server: {error}")
        return []
    say(f"Prefect's server agrees with the ledgers on {right} task runs of {sessions} sessions")
    return wrong
