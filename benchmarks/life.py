"""Where a config's time goes: `python -m benchmarks.life [--n 1000]`.

The outer figures are CPU seconds of the flow's process, of the workers and of Prefect's server, of
a round that nobody watches. py-spy watches a second round; its samples of the flow's process, each
given to a group by the modules in its stack, say how the flow's share is made up. What comes before
the call and imports are left out.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from benchmarks.harness import header, say, table
from benchmarks.overhead import OURS
from benchmarks.overhead_round import Task, one_round
from benchmarks.prefect_server import EmbeddedServer

RATE_HZ = 200
IMPORTS, BEFORE, OTHER = "imports", "before the call", "other"
NOT_COUNTED = (IMPORTS, BEFORE)

Groups = tuple[tuple[str, tuple[str, ...]], ...]

# Who has any of these in its stack, wherever: what is called from there is done for it.
OWNERS: Groups = (
    ("Prefect client: events", ("prefect_compat/event_relay", "prefect_compat/event_shipping")),
    ("mirror and settling", ("orchestration/mirror/",)),
)
# Else the innermost frame that is in one of these; of two that fit, the one that stands first here.
GROUPS: Groups = (
    ("Prefect client: events", ("prefect/events/", "prefect_compat/event_coalescing")),
    ("Prefect client: engine", ("prefect/",)),
    ("IPC", ("workers/isolation/", "workers/engines/", "workers/executor")),
    ("admission", ("argus_tasks/admission/", "session/admission_queue")),
    ("claims", ("runs/ledger/claims", "session/config_claims")),
    ("spec and plan", ("runs/ledger/catalogue", "session/prepared_sweep")),
    ("ledger", ("runs/ledger/", "runs/record/hashes")),
    ("hooks", ("orchestration/tasks/hooks", "argus_tasks/monitoring/", "argus_tasks/reporting/")),
    ("events", ("argus_tasks/delivery/",)),
    ("mirror and settling", ("prefect_api/expected_task_runs",)),
    (
        "spec and plan",
        (
            *("argus_tasks/spec/", "argus_tasks/planning/", "argus_tasks/experiments/"),
            *("base/ids", "base/jsonable"),
        ),
    ),
    ("files", ("argus_tasks/runs/",)),
    (
        "sweep and flow",
        tuple(
            f"argus_tasks/{room}/"
            for room in ("flows", "orchestration", "prefect_compat", "session", "workers", "api")
        ),
    ),
)

_FILE = re.compile(r"\(([^()]*?)(?::\d+)?\)$")


def group_of(stack: str) -> str:
    """The group of a stack as py-spy writes it: `name (file:line);...`, the outermost first."""
    frames = stack.split(";")
    if any("<frozen importlib" in frame for frame in frames):
        return IMPORTS
    files = [found.group(1) for frame in frames if (found := _FILE.search(frame))]
    if any("benchmarks/contestants" in file for file in files) and not any(
        "argus_tasks/api/" in file for file in files
    ):
        return BEFORE
    for name, parts in OWNERS:
        if any(part in file for file in files for part in parts):
            return name
    for file in reversed(files):
        for name, parts in GROUPS:
            if any(part in file for part in parts):
                return name
    return OTHER


def samples_by_group(lines: Iterable[str]) -> Counter[str]:
    """How many samples each group has, of py-spy's raw lines: `stack count`."""
    counted: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        if stack:
            counted[group_of(stack)] += int(count)
    return counted


def shares(counted: Counter[str]) -> dict[str, float]:
    """The part of each group in what is counted, the greatest first."""
    kept = {name: count for name, count in counted.items() if name not in NOT_COUNTED}
    total = sum(kept.values()) or 1
    return {name: count / total for name, count in sorted(kept.items(), key=lambda of: -of[1])}


def measure(n: int, workers: int = 2) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes. Errors: ContestantFailed; FileNotFoundError
    where there is no py-spy."""
    spy = shutil.which("py-spy", path=sysconfig.get_path("scripts"))
    if spy is None:
        raise FileNotFoundError("py-spy is not installed: pip install py-spy")
    result = header("life", {"n": n, "workers": workers, "rate_hz": RATE_HZ}, ("prefect", "py-spy"))
    with (
        tempfile.TemporaryDirectory(prefix="life-") as folder,
        EmbeddedServer(Path(folder)) as server,
    ):
        raw = Path(folder) / "samples.txt"
        words = [
            "record",
            "--gil",
            "--format",
            "raw",
            "--rate",
            str(RATE_HZ),
            "--output",
            str(raw),
            "--",
        ]
        one_round(OURS, Task(20, workers), server, Path(folder))
        say(f"a round of {n} that nobody watches")
        outer = one_round(OURS, Task(n, workers), server, Path(folder))
        say("a round that py-spy watches")
        watched = replace(OURS, under=(spy, *words))
        one_round(watched, Task(n, workers), server, Path(folder))
        counted = samples_by_group(raw.read_text().splitlines())
    result["outer"] = outer
    result["samples"] = dict(counted)
    flow = {
        f"flow: {name}": share * outer["flow_cpu_ms"] for name, share in shares(counted).items()
    }
    result["life_ms"] = {
        name: round(value, 4)
        for name, value in {
            **flow,
            "workers": outer["rest_cpu_ms"],
            "Prefect's server": outer["server_cpu_ms"],
        }.items()
    }
    return result


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Each part with its CPU milliseconds a config, and its part of all."""
    total = sum(result["life_ms"].values())
    return [
        [name, f"{value:.2f}", f"{100 * value / total:.0f} %"]
        for name, value in result["life_ms"].items()
    ]


HEAD = ("part of a config's life", "CPU ms a config", "of all")


def main(argv: list[str] | None = None) -> int:
    """Run it alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.life", description=__doc__)
    parser.add_argument("--n", type=int, default=1000, help="configs (default 1000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="group these, run nothing")
    args = parser.parse_args(argv)
    if args.samples:
        counted = samples_by_group(args.samples.read_text().splitlines())
        print(table(("group", "samples"), [[k, str(v)] for k, v in counted.most_common()]))
        return 0
    result = measure(args.n)
    print(table(HEAD, rows(result)))
    if args.json:
        write_json(args.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
