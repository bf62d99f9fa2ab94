"""What recording costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, statistics, sys, time
from argus_tasks.provenance.collection import CodeCollector
from argus_tasks.provenance.objects import ObjectStore
from argus_tasks.provenance.recording.import_hooks import install, tell_children
from argus_tasks.provenance.recording.scope import CodeScope
top = sys.argv[1]
for at in range(200):
    open(f"{top}/m{at}.py", "w").write(f"VALUE = {at}\\n" * 300)
recorder = install(CodeScope(top))
tell_children(recorder)
collector = CodeCollector(recorder, ObjectStore(top + "/objects", "batch"))
sys.path.insert(0, top)
for at in range(200):
    __import__(f"m{at}")
collector.begin(); collector.end()
took = []
for _ in range(500):
    start = time.process_time_ns()
    collector.begin(); collector.end()
    took.append(time.process_time_ns() - start)
print(statistics.median(took) / 1e6)
"""


def test_a_warm_run_that_loads_nothing_costs_less_than_a_tenth_of_a_millisecond(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.1


EVENTS = """
import statistics, sys, time
if sys.argv[2] == "ours":
    from argus_tasks.provenance.recording.import_hooks import install
    from argus_tasks.provenance.recording.scope import CodeScope
    install(CodeScope(sys.argv[1]))
else:
    sys.addaudithook(lambda event, args: None)
took = []
for _ in range(20):
    start = time.process_time_ns()
    for at in range(20_000):
        id(at)
    took.append(time.process_time_ns() - start)
print(min(took))
"""


def test_events_that_are_not_for_us_cost_little_more_than_an_empty_hook(tmp_path: Path) -> None:
    """`copy.deepcopy` alone makes several for each object: `id` is one."""

    def took(hook: str) -> float:
        words = [sys.executable, "-c", EVENTS, str(tmp_path), hook]
        return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    assert took("ours") < 2.5 * took("empty")
