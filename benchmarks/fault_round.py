"""One contestant, one fault: `python -m benchmarks.fault_round NAME FAULT ROOT`.

Ten runs on two workers, the fourth of them with the fault; then one JSON line. Contestants that
keep run folders are judged by these, by whoever has called; those with futures note each end beside
ROOT at once, so that a call that never returns is told from runs that never end.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.fault_acts import FAULTS, act, experiment
from benchmarks.told import own_stdout

RUNS = 10
FAULTY = 3
WORKERS = 2
TIME_LIMIT_S = 5
ENDS_FILE = "ends.jsonl"

# What each of the ten has come to, by its index: "" where it succeeded, else what it is called.
Ends = dict[int, str]


def faults_of(fault: str) -> list[str]:
    """The fault of each run, in order; "" for a neighbour."""
    return [fault if index == FAULTY else "" for index in range(RUNS)]


def configs_of(fault: str) -> list[dict[str, Any]]:
    """The same as configs."""
    return [{"fault": each, "index": index} for index, each in enumerate(faults_of(fault))]


def note(root: Path, ends: Ends, index: int, end: str) -> None:
    """Note how one of the ten has ended: the first word counts."""
    if index not in ends:
        ends[index] = end
        with root.with_name(ENDS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({str(index): end}) + "\n")


def ours(fault: str, root: Path) -> Ends:
    from argus_tasks import sweep_flow  # type: ignore[attr-defined,unused-ignore]

    sweep_flow(
        configs_of(fault),
        experiment,
        results_root=root,
        mode="process_pool",
        workers=WORKERS,
        timeout_s=TIME_LIMIT_S,
        stop_grace_s=1,
    )
    return {}


def ztxexp(mode: str) -> Callable[[str, Path], Ends]:
    def run(fault: str, root: Path) -> Ends:
        from ztxexp import ExpRunner

        # Its dynamic mode starts nothing on a machine that others keep busy.
        runner = ExpRunner(configs_of(fault), root, experiment)
        runner.run(mode=mode, workers=WORKERS, cpu_threshold=101)
        return {}

    return run


def joblib(fault: str, root: Path) -> Ends:  # noqa: ARG001
    from joblib import Parallel, delayed

    calls = (delayed(act)(each, index) for index, each in enumerate(faults_of(fault)))
    Parallel(n_jobs=WORKERS, timeout=TIME_LIMIT_S)(calls)
    return dict.fromkeys(range(RUNS), "")


def futures(fault: str, root: Path) -> Ends:
    from concurrent.futures import Future, ProcessPoolExecutor

    ends: Ends = {}

    def ended(index: int, future: Future[Any]) -> None:
        error = future.exception()
        note(root, ends, index, type(error).__name__ if error else "")

    with ProcessPoolExecutor(WORKERS) as pool:
        for index, each in enumerate(faults_of(fault)):
            pool.submit(act, each, index).add_done_callback(partial(ended, index))
    return ends


def prefect_processes(fault: str, root: Path) -> Ends:
    from prefect import flow
    from prefect.futures import PrefectFuture
    from prefect.task_runners import ProcessPoolTaskRunner

    from benchmarks.fault_task import job

    ends: Ends = {}

    def ended(index: int, future: PrefectFuture[Any]) -> None:
        try:
            state = future.state
            end = "" if state.is_completed() else state.name or state.type.value
        except BaseException as error:  # noqa: BLE001 - what a caller is told is the figure
            end = type(error).__name__
        note(root, ends, index, end)

    @flow(name="faults", task_runner=ProcessPoolTaskRunner(max_workers=WORKERS))  # type: ignore[arg-type]
    def run_all() -> None:
        asked = [job.submit(each, index) for index, each in enumerate(faults_of(fault))]
        for index, future in enumerate(asked):
            future.add_done_callback(partial(ended, index))
        for index, future in enumerate(asked):
            try:
                future.wait()
            except BaseException as error:  # noqa: BLE001 - what a caller is told is the figure
                note(root, ends, index, type(error).__name__)

    try:
        run_all()
    except BaseException:
        if len(ends) < RUNS:
            raise
    return ends


CONTESTANTS: dict[str, Callable[[str, Path], Ends]] = {
    "ours": ours,
    "ztxexp-process_pool": ztxexp("process_pool"),
    "ztxexp-joblib": ztxexp("joblib"),
    "ztxexp-dynamic": ztxexp("dynamic"),
    "joblib": joblib,
    "concurrent.futures": futures,
    "prefect-processes": prefect_processes,
}
WITH_FOLDERS = ("ours", "ztxexp-process_pool", "ztxexp-joblib", "ztxexp-dynamic")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("root", type=Path)
    args = parser.parse_args()
    tell = own_stdout()
    if args.name == "ours":
        import_module("argus_tasks.flows.call")
    if args.name.startswith("prefect"):
        import_module("benchmarks.fault_task")
    began = time.monotonic()
    raised = ""
    ends: Ends = {}
    try:
        ends = CONTESTANTS[args.name](args.fault, args.root)
    except BaseException as error:  # noqa: BLE001 - what a caller is told is the figure
        raised = type(error).__name__
    seconds = round(time.monotonic() - began, 2)
    tell({"seconds": seconds, "raised": raised, "ends": ends})
    return 0


if __name__ == "__main__":
    os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
    raise SystemExit(main())
