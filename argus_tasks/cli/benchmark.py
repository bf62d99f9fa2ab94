"""`argus-tasks benchmark FILE`: run the nightly benchmark now."""

from __future__ import annotations

import argparse
from pathlib import Path

from argus_tasks.cli.codes import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED
from argus_tasks.cli.compare import EXIT_NOT_COMPARABLE, add_comparing
from argus_tasks.cli.say import say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "benchmark",
        help="run a sweep as a new batch and compare it with a baseline",
        description="Run a sweep file as a new batch and compare it with a baseline, as"
        " benchmark/nightly does. Cells that look worse are run a second time; only if they are"
        " worse again is the verdict worse.",
        epilog="exit codes: 0 not worse, or no baseline yet, 1 worse both times, or some runs"
        " failed, 2 bad input, 3 nothing can be compared, 130 interrupted",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the sweep file, with `repeats`")
    parser.add_argument(
        "--baseline", metavar="NAME", default="nightly", help="the baseline (default: nightly)"
    )
    add_comparing(parser)
    parser.add_argument(
        "--move-baseline",
        action="store_true",
        help="make this batch the baseline if there is none, or if it is better",
    )
    parser.add_argument(
        "--results-root", metavar="DIR", help="the folder that gets the run folders"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="how many runs execute at once")
    parser.set_defaults(handler=benchmark)


def benchmark(args: argparse.Namespace) -> int:
    """Run the benchmark; the exit code is its verdict."""
    from argus_tasks.base.errors import BadInput
    from argus_tasks.cli.prefect import using_prefect
    from argus_tasks.planning.resolve import resolve
    from argus_tasks.results.compare.baselines import check_baseline
    from argus_tasks.results.read.needs import needs_scipy
    from argus_tasks.results.stats.min_effect import min_effect_of

    needs_scipy()
    # Bad input is reported before a server is started.
    asked = resolve(args.file, results_root=args.results_root, workers=args.workers)
    check_baseline(asked.results_root, args.baseline, may_make=args.move_baseline)
    if args.min_effect is not None:
        min_effect_of(args.min_effect)
    names = ("baseline", "metric", "direction", "min_effect", "results_root", "workers")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    allow = [word.strip() for word in args.allow.split(",") if word.strip()]
    with using_prefect(notice=print):
        from argus_tasks.flows.benchmark import benchmark_flow

        state = benchmark_flow(
            str(args.file),
            **given,
            allow=allow,
            move_baseline=args.move_baseline,
            return_state=True,
        )
        error = state.result(raise_on_failure=False) if state.is_failed() else None
    if isinstance(error, BadInput):
        raise error
    say(state.message or "")
    if state.is_completed():
        return EXIT_OK
    if state.is_cancelled():
        return EXIT_INTERRUPTED
    return EXIT_NOT_COMPARABLE if state.name == "NotComparable" else EXIT_SOME_FAILED
