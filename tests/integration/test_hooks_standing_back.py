"""A Prefect that is not as we know it: every hook stands back, and sweeps work as before."""

from __future__ import annotations

import sys

import pytest

from tests.support.flow_scripts import facts, rows, script
from tests.support.servers import Bench

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

SWEEP = """
from argus_tasks.prefect_compat.hook import Hook
from argus_tasks.prefect_compat import task_engine
asked = []
def stands_back(hook):
    asked.append(hook.name)
    return "this Prefect is another one"
if STAND_BACK:
    Hook.stands_back = stands_back
seen = {}
def run(ctx):
    if ctx.config["x"] == 3 and ctx.attempt == 1:
        raise OSError("once")
    from prefect.concurrency.context import ConcurrencyContext
    seen[ctx.config["x"]] = ConcurrencyContext.get() is not None
    return {"y": ctx.config["x"]}
from argus_tasks import sweep_flow
summary = sweep_flow(
    [{"x": x} for x in range(12)], run, name="s", results_root=ROOT, mode="thread", workers=4,
    max_attempts=2,
)
tell(succeeded=summary.succeeded, unmirrored=summary.unmirrored, asked=sorted(set(asked)),
     slots_given_back=all(seen.values()) and len(seen) == 12)
"""


@pytest.mark.parametrize("stand_back", [False, True])
def test_a_sweep_is_the_same_with_and_without_hooks(
    bench: Bench, stand_back: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = str(tmp_path_factory.mktemp("results"))
    told = facts(script(bench, f"STAND_BACK, ROOT = {stand_back}, {root!r}\n{SWEEP}"))
    assert (told["succeeded"], told["unmirrored"]) == (12, 0)
    assert told["slots_given_back"]
    assert bool(told["asked"]) is stand_back
    bench.wait_until_gone(30)
    counts = rows(
        bench, "SELECT state_name, run_count, count(*) FROM task_run GROUP BY 1, 2 ORDER BY 2"
    )
    assert counts == [("Completed", 1, 11), ("Completed", 2, 1)]


COUNTED = """
import inspect
from collections import Counter
from argus_tasks.prefect_compat.hook import Hook
examined, sources = Counter(), []
examine, getsource = Hook.examine, inspect.getsource
def counted(hook):
    examined[hook.name] += 1
    return examine(hook)
def noted(of):
    sources.append(of)
    return getsource(of)
Hook.examine, inspect.getsource = counted, noted
def run(ctx): return {"y": ctx.config["x"]}
from argus_tasks import sweep_flow
succeeded, read = [], []
for number in (3, 30):
    sources.clear()
    summary = sweep_flow(
        [{"x": x} for x in range(number)], run, name=f"s{number}", results_root=ROOT,
        mode="thread", workers=2,
    )
    succeeded.append(summary.succeeded)
    read.append(len(sources))
tell(succeeded=succeeded, examined=examined, sources=read)
"""


def test_hooks_are_decided_once_however_many_configs_there_are(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = str(tmp_path_factory.mktemp("results"))
    told = facts(script(bench, f"ROOT = {root!r}\n{COUNTED}"))
    assert told["succeeded"] == [3, 30]
    assert {"task engine", "event relay", "settings", "last log lines"} <= told["examined"].keys()
    assert set(told["examined"].values()) == {1}
    few, many = told["sources"]
    assert 0 < many <= few, "Prefect reads that of the task itself, once a sweep"
