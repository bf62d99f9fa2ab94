"""`argus-tasks plan FILE`: show what a run would do; starts and writes nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from argus_tasks.cli.option_flags import add_option_flags, given_options
from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.planning.request import SweepRequest
    from argus_tasks.planning.sweep_plan import Plan
    from argus_tasks.spec.search_section import Search

_SHOWN = 3


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "plan",
        help="show what a run would do, without doing it",
        description="Show how many configs a sweep file makes, how many are done and how many are"
        " left. Starts and writes nothing.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the sweep file, YAML or JSON")
    parser.add_argument(
        "--fresh", action="store_true", help="show the plan of a new batch, which reuses nothing"
    )
    parser.add_argument("--all", action="store_true", help="list every config")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_option_flags(parser)
    parser.set_defaults(handler=plan)


def plan(args: argparse.Namespace) -> int:
    """Print the plan."""
    from argus_tasks.planning.resolve import resolve
    from argus_tasks.session.prepared_sweep import make_plan

    request = resolve(args.file, fresh=args.fresh, **given_options(args))
    made = make_plan(request)
    if args.json:
        _print_json(request, made)
    else:
        _print_text(request, made, everything=args.all)
    return 0


def _print_text(request: SweepRequest, made: Plan, *, everything: bool) -> None:
    from argus_tasks.base.files import dumps
    from argus_tasks.base.given import given_of
    from argus_tasks.base.jsonable import to_jsonable
    from argus_tasks.base.redact import known_secrets, redact_value
    from argus_tasks.planning.sweep_plan import Action

    say(f"sweep      {request.name} (project {request.project})")
    say(f"batch      {made.batch_id if made.known_batch else 'a new one'}")
    say(f"results    {request.results_root}")
    say(f"execution  {request.execution.mode}, {request.workers} workers")
    if made.to_do and request.execution.order != "given":
        say(f"order      {made.order.note}")
    if request.search is not None:
        say(f"search     {_search_text(request.search)}")
    say(f"configs    {len(made.runs)}")
    if made.duplicates:
        say(f"           {made.duplicates} more are duplicates, and run once")
    for action, word in (
        (Action.REUSE, "succeeded already, reused"),
        (Action.LEAVE, "skipped already, left"),
        (Action.RESUME, "stopped or killed, to resume"),
        (Action.RUN, "to run"),
    ):
        failed = len(made.left_failed) if action is Action.LEAVE else 0
        if failed:
            say(f"{failed:>10} failed already, left")
        if count := made.count(action) - failed:
            say(f"{count:>10} {word}")
    for note in made.notes:
        say(f"note       {note}")
    runs = made.runs if request.search is None else [run for run in made.runs if run.digest]
    if (
        request.execution.order != "given"
    ):  # as they will be started; what is not to be run comes last
        ahead = set(made.order.indexes)
        runs = (*made.to_do, *(run for run in made.runs if run.index not in ahead))
    hidden = 0 if everything else max(0, len(runs) - 2 * _SHOWN)
    for position, run in enumerate(runs):
        if hidden and _SHOWN <= position < len(runs) - _SHOWN:
            if position == _SHOWN:
                say(f"           ... {hidden} more (--all lists them)")
            continue
        shown = redact_value(to_jsonable(run.config), known_secrets())
        given = given_of(run.config)
        more = f"  given: {dumps(given)}" if given else ""
        say(f"  {run.action:<7} {run.name:<40} {dumps(shown)}{more}")


def _search_text(search: Search) -> str:
    pruner = "" if search.pruner == "none" else f", pruner {search.pruner}"
    keys = ", ".join(search.space)
    what = f"{search.direction} {search.metric}"
    return f"{search.sampler}, {search.trials} trials over {keys}; {what}{pruner}"


def _print_json(request: SweepRequest, made: Plan) -> None:
    from argus_tasks.base.files import dumps
    from argus_tasks.base.given import given_of
    from argus_tasks.base.jsonable import to_jsonable
    from argus_tasks.base.redact import known_secrets, redact_value

    places = {index: place for place, index in enumerate(made.order.indexes)}
    say(
        dumps(
            to_jsonable(
                {
                    "name": request.name,
                    "project": request.project,
                    "batch_id": made.batch_id,
                    "known_batch": made.known_batch,
                    "results_root": request.results_root,
                    "duplicates": made.duplicates,
                    "order": request.execution.order,
                    "configs": [
                        {
                            "index": run.index,
                            "digest": run.digest,
                            "name": run.name,
                            "job_id": run.job_id,
                            "action": run.action,
                            "start": places.get(run.index),
                            "run_id": run.known.run_id if run.known else None,
                            "config": redact_value(to_jsonable(run.config), known_secrets()),
                            "given": given_of(run.config),
                        }
                        for run in made.runs
                    ],
                }
            )
        )
    )
