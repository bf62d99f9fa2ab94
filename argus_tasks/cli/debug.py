"""`argus-tasks debug FILE --config N`: run one config in this process, with a debugger."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.cli.codes import EXIT_OK, EXIT_SOME_FAILED
from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.experiments.experiment import ExperimentFunction, ExperimentResult
    from argus_tasks.planning.sweep_plan import Plan, PlannedRun


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "debug",
        help="run one config in this process, ready for a debugger",
        description="Run one config of a sweep file in this process: breakpoint() works, and on"
        " a terminal an exception opens the debugger where it was raised. Neither Prefect nor a"
        " worker process is used; the run folder is in a temporary folder.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the sweep file, YAML or JSON")
    parser.add_argument(
        "--config",
        default="0",
        metavar="N",
        help="the config's number in the plan, or its name (default: 0)",
    )
    parser.set_defaults(handler=debug)


def debug(args: argparse.Namespace) -> int:
    """Run the config."""
    from dataclasses import replace
    from tempfile import mkdtemp

    from argus_tasks.experiments.script import Script
    from argus_tasks.planning.resolve import resolve
    from argus_tasks.session.attempt_runner import AttemptRunner
    from argus_tasks.session.prepared_sweep import make_plan
    from argus_tasks.session.sweep_session import new_session

    root = Path(mkdtemp(prefix="argus-debug-"))
    request = resolve(args.file, results_root=root, mode="sequential", fresh=True)
    plan = make_plan(request)
    # A search draws the config when the run begins: its first trial.
    chosen = plan.runs[0] if request.search is not None else _chosen(plan, args.config)
    function = request.experiment.load()
    if isinstance(function, Script):  # the debugger is the script's own
        function = replace(function, attached=True)
    else:
        function = _with_debugger(function)
    request = replace(
        request,
        configs=(chosen.config,),
        experiment=replace(request.experiment, function=function),
    )
    say(f"config {chosen.index}: {chosen.name}", error=True)
    with new_session(request) as session:
        outcome = AttemptRunner(session).run_one(0, 1)
        folder = session.results.run_dir(0)
    ending = outcome.ending
    say(outcome.stack, end="", error=True)
    say(f"{ending.status}: {ending.error_message or outcome.metrics}", error=True)
    say(f"run folder: {folder}", error=True)
    return EXIT_SOME_FAILED if ending.status == "failed" else EXIT_OK


def _chosen(plan: Plan, wanted: str) -> PlannedRun:
    for run in plan.runs:
        if wanted in (str(run.index), run.name):
            return run
    near = did_you_mean(wanted, [run.name for run in plan.runs])
    raise BadInput(
        f"--config is '{wanted}'; expected a number from 0 to {len(plan.runs) - 1}"
        f" or a config's name.{near}"
    )


def _with_debugger(function: ExperimentFunction) -> ExperimentFunction:
    """The function; on a terminal, an exception in it opens the debugger."""

    def call(ctx: object) -> ExperimentResult:
        try:
            return function(ctx)  # type: ignore[arg-type, return-value]
        except Exception:
            if sys.stdin.isatty():
                import pdb

                pdb.post_mortem()
            raise

    return call
