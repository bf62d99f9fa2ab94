"""One contestant of the control benchmark, in a process of its own: `... NAME PLAN`, PLAN as JSON.

Prints one JSON line: when the work began and when each job did and ended, in seconds since the
epoch. Jobs leave files of their own, so that all contestants are measured alike.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.told import own_stdout

PERIOD_S = 0.1


def job(ctx: Any) -> dict[str, int]:
    """Burns `duty` of a core for `seconds`, and leaves a file with its begin and end.

    What a full machine keeps it from burning it burns later: a job is the same work for all.
    """
    config = ctx.config
    begun = time.time()
    for period in range(round(config["seconds"] / PERIOD_S)):
        burnt_until = time.thread_time() + config["duty"] * PERIOD_S
        while time.thread_time() < burnt_until:
            pass
        rest_s = begun + (period + 1) * PERIOD_S - time.time()
        if rest_s > 0:
            time.sleep(rest_s)
    (Path(config["marks"]) / uuid.uuid4().hex).write_text(f"{begun} {time.time()}")
    return {"value": config["index"]}


def nothing(ctx: Any) -> dict[str, int]:
    """Does nothing, and leaves a file that says when."""
    now = time.time()
    (Path(ctx.config["marks"]) / uuid.uuid4().hex).write_text(f"{now} {now}")
    return {"value": ctx.config["index"]}


def ours(plan: dict[str, Any], experiment: Callable[[Any], Any], configs: list[Any]) -> float:
    from argus_tasks import sweep_flow  # type: ignore[attr-defined,unused-ignore]

    import_module("argus_tasks.flows.call")  # Prefect's import is no part of the work
    began = time.time()
    sweep_flow(
        configs,
        experiment,
        results_root=plan["root"],
        mode=plan["mode"],
        workers=plan["workers"],
        cpu_threshold=plan["threshold"],
        limits=plan.get("limits"),
        fresh=True,
    )
    return began


def ztxexp(plan: dict[str, Any], experiment: Callable[[Any], Any], configs: list[Any]) -> float:
    from ztxexp import ExpRunner

    began = time.time()
    # It asks for less than its threshold, also where that is 100.
    threshold = 101 if plan["threshold"] == 100 else plan["threshold"]
    ExpRunner(configs, plan["root"], experiment).run(
        mode=plan["mode"], workers=plan["workers"], cpu_threshold=threshold
    )
    return began


def main() -> int:
    name, plan = sys.argv[1], json.loads(sys.argv[2])
    tell = own_stdout()
    marks = Path(plan["root"]).parent / "marks"
    marks.mkdir(parents=True)
    base = {"marks": str(marks), "duty": plan["duty"], "seconds": plan["seconds"]}
    configs = [{"index": index, **base} for index in range(plan["n"])]
    run = {"ours": ours, "ztxexp": ztxexp}[name]
    began = run(plan, job if plan["seconds"] else nothing, configs)
    spans = [tuple(map(float, mark.read_text().split())) for mark in marks.iterdir()]
    tell({"began_at": began, "spans": sorted(spans)})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
