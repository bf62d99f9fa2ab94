"""`argus-tasks release`: free what a sweep that is known to be dead has claimed."""

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
        help="free configs that a dead sweep of another host has claimed",
        description="List the claims of a results root, or free some. A dead process's claims on"
        " this host need no freeing, another host's are free after 15 minutes: only where you know"
        " that a sweep is dead, and cannot wait, free its claims by hand. One that lives after all"
        " stops when it sees that.",
    )
    parser.add_argument(
        "what", nargs="*", metavar="BATCH|RUN|DIGEST", help="a digest's beginning will do"
    )
    add_results_root(parser)
    parser.set_defaults(handler=release)


def release(args: argparse.Namespace) -> int:
    """List or free claims."""
    from argus_tasks.runs.ledger.claims import release as free
    from argus_tasks.runs.ledger.claims import seems_dead, standing_claims
    from argus_tasks.runs.record.close_abandoned import close_lost

    root = results_root(args)
    claims = standing_claims(root)
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
            close_lost(f"{root}/{claim.run_id}", owner_gone=True)
            say(f"freed {line}")
    if not claims:
        say(f"nothing is claimed under {root}")
    return EXIT_OK


def _is_meant(batch_id: str, run_id: str, digest: str, said: str) -> bool:
    return said in (batch_id, run_id) or (len(said) >= 4 and digest.startswith(said))
