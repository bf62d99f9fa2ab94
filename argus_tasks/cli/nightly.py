"""`argus-tasks nightly on | off | status`: the schedule of the nightly benchmark."""

from __future__ import annotations

import argparse

from argus_tasks.cli.say import say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "nightly",
        help="switch the schedule of benchmark/nightly on or off",
        description="Switch the schedule of the deployment benchmark/nightly on or off, on the"
        " configured Prefect server, else on the embedded one, which `make serve` starts.",
    )
    parser.add_argument(
        "action",
        choices=("on", "off", "status"),
        nargs="?",
        default="status",
        help="default: status",
    )
    parser.set_defaults(handler=nightly)


def nightly(args: argparse.Namespace) -> int:
    """Switch the schedule, and print its state."""
    from argus_tasks.cli.prefect import use_running_prefect

    use_running_prefect()
    from argus_tasks.orchestration.nightly.schedule import NIGHTLY, schedule_state, switch

    found = schedule_state() if args.action == "status" else switch(on=args.action == "on")
    if found is None:
        say(f"{NIGHTLY} is not deployed")
        return 0
    times = "; ".join(found.schedules) or "no schedule"
    say(f"{NIGHTLY}: {'on' if found.active else 'off'} ({times})")
    if found.next_at is not None:
        say(f"next: {found.next_at:%Y-%m-%d %H:%M} UTC")
    if found.missed:
        say(f"missed: {found.missed}; one run will make up for them")
    return 0
