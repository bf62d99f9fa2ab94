"""`argus-tasks limit show | set N | auto`: how many runs mode `dynamic` executes at once."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from argus_tasks.base.errors import ArgusTasksError, BadInput
from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.orchestration.prefect_api.limit_server import LimitServer


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "limit",
        help="show or set how many runs of mode dynamic may execute at once",
        description="Mode `dynamic` starts runs within a concurrency limit on Prefect's server."
        " Sweeps set it to what the CPU has room for. Once a person has set it, here or in"
        " Prefect's UI, sweeps do not change it until `auto`.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action")
    shown = actions.add_parser("show", help="show its value and who has set it (the default)")
    given = actions.add_parser("set", help="set it; with 0 nothing new starts")
    given.add_argument("value", type=int, metavar="N", help="how many runs may execute at once")
    auto = actions.add_parser("auto", help="let sweeps set it again")
    for each in (parser, shown, given, auto):
        each.add_argument(
            "--name",
            metavar="LIMIT",
            default=argparse.SUPPRESS,
            help="the limit's name, if a sweep file sets cpu_limit (default: this host's limit)",
        )
    parser.set_defaults(handler=limit)


def limit(args: argparse.Namespace) -> int:
    """Show or change the limit."""
    from argus_tasks.cli.prefect import use_running_prefect
    from argus_tasks.session.admission_queue import default_cpu_limit

    name: str = getattr(args, "name", None) or default_cpu_limit()
    if args.action == "set" and args.value < 0:
        raise BadInput(f"N is {args.value}; expected a whole number, 0 or more.")
    use_running_prefect()
    from argus_tasks.orchestration.limits.limits import set_auto, set_by_person
    from argus_tasks.orchestration.prefect_api.limit_server import LimitServer
    from argus_tasks.orchestration.prefect_api.prefect_server import asked_once

    with asked_once(LimitServer()) as server:
        if args.action == "set":
            set_by_person(server, name, args.value)
        elif args.action == "auto" and not set_auto(server, name):
            raise ArgusTasksError(f"there is no limit '{name}' on Prefect's server.")
        show(server, name)
    return 0


def show(server: LimitServer, name: str) -> None:
    """Print a limit: its value, who has set it, and how many slots are taken."""
    from argus_tasks.orchestration.limits.limits import NEVER, written_by_sweeps

    found = server.read(name)
    if found is None:
        say(f"{name}: there is none; the next sweep of mode dynamic creates it")
        return
    written = written_by_sweeps(server, name)
    whose = "a person's"
    if written is NEVER:  # one that a sweep file names, or that somebody has made
        whose = "as it was made or set; sweeps keep to it"
    elif written == found.limit:
        whose = "the controller's"
    state = whose if found.active else "disabled: only `workers` counts"
    say(f"{name}: {found.limit} ({state}), {found.taken} in use")
