"""What it costs a run that its code is recorded: `python -m benchmarks.recording`.

A project of 200 modules of 9 kB, whose `.pyc` files are there, is imported in a new process, with
the hooks of a worker and without, in turns; then, with them, a run that loads nothing new begins
and ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import figure, ratio_figure
from benchmarks.harness import header, in_turns, say

MODULES = 200

PROGRAM = """
import json, statistics, sys, time
folder, hooked = sys.argv[1], sys.argv[2] == "hooked"
if hooked:
    from argus_tasks.provenance.code_recording import CodeRecording
    code = CodeRecording(folder, folder + "/results", "batch").in_worker()
sys.path.insert(0, folder)
start = time.process_time_ns()
for at in range(int(sys.argv[3])):
    __import__(f"m{at}")
found = {"import_ms": (time.process_time_ns() - start) / 1e6}
if hooked:
    code.prepare()
    code.begin(), code.end()
    took = []
    for _ in range(1000):
        start = time.process_time_ns()
        code.begin()
        code.end()
        took.append(time.process_time_ns() - start)
    found["run_us"] = statistics.median(took) / 1e3
print(json.dumps(found))
"""


def measure(rounds: int, limit_s: float | None = None) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes."""
    result = header("recording", {"rounds": rounds, "modules": MODULES, "limit_s": limit_s}, ())
    readings: dict[str, list[dict[str, float]]] = {"hooked": [], "plain": []}
    with TemporaryDirectory(prefix="recording-") as folder:
        body = "".join(
            f"VALUE_{line} = {line!r} * 3  # a line of a module\n" for line in range(210)
        )
        for at in range(MODULES):
            Path(folder, f"m{at}.py").write_text(body)
        for turn, name in in_turns(list(readings), rounds, limit_s):
            words = [sys.executable, "-c", PROGRAM, folder, name, str(MODULES)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            if turn:  # the first writes the `.pyc` files
                readings[name].append(json.loads(done.stdout))
    imports = {name: [each["import_ms"] for each in found] for name, found in readings.items()}
    runs_us = [each["run_us"] for each in readings["hooked"]]
    result["readings"] = readings
    result["figures"] = {
        "recording.run": figure(runs_us, "µs"),
        "recording.import": figure(imports["hooked"], "ms"),
        "recording.import.over_plain": ratio_figure(imports["hooked"], imports["plain"]),
    }
    say(f"a run that loads nothing: {min(runs_us):.1f} µs; importing: {imports}")
    return result


if __name__ == "__main__":
    print(json.dumps(measure(5)["figures"], indent=2))
