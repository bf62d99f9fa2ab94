"""`argus-tasks release`: free the claims of a dead sweep."""

from __future__ import annotations

import argparse

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.batch_choice import add_results_root, results_root
from argus_tasks.cli.codes import EXIT_OK
from argus_tasks.cli.say import say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "release",
        help="free the claims of a dead sweep on another host",
        description="List the claims of a results root, or free some. A claim keeps other sweeps"
        " from running the same config. Claims of a dead process on this host are freed by"
        " themselves, claims of another host 15 minutes after its death. Free them by hand only"
        " if you know that the sweep is dead. If it is alive after all, it stops when it sees"
        " that.",
    )
    parser.add_argument(
        "what",
        nargs="*",
        metavar="BATCH|RUN|DIGEST",
        help="whose claims to free; the beginning of a digest is enough (default: list all)",
    )
    add_results_root(parser)
    parser.set_defaults(handler=release)


def release(args: argparse.Namespace) -> int:
    """List or free claims."""
    from argus_tasks.runs.ledger.claims import read_claims, seems_dead
    from argus_tasks.runs.ledger.claims import release as free
    from argus_tasks.runs.record.close_abandoned import close_lost_run

    root = results_root(args)
    claims = read_claims(root)
    for said in args.what:
        if not any(_is_meant(claim.batch_id, claim.run_id, claim.digest, said) for claim in claims):
            raise BadInput(f"no claim under {root} is of '{said}'.")
    for claim in claims:
        host, pid = claim.owner.get("host"), claim.owner.get("pid")
        line = f"{claim.digest[:12]}  {claim.run_id}  {claim.batch_id}  process {pid} on {host}"
        if not args.what:
            say(f"{line}{'  (dead)' if seems_dead(claim) else ''}")
        elif any(_is_meant(claim.batch_id, claim.run_id, claim.digest, said) for said in args.what):
            free(claim)
            close_lost_run(f"{root}/{claim.run_id}", owner_gone=True)
            say(f"freed {line}")
    if not claims:
        say(f"nothing is claimed under {root}")
    return EXIT_OK


def _is_meant(batch_id: str, run_id: str, digest: str, said: str) -> bool:
    return said in (batch_id, run_id) or (len(said) >= 4 and digest.startswith(said))
