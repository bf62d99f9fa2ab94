"""What `import argus_tasks` and `argus-tasks --help` cost: `python -m benchmarks.import_time`.

Each is a process of its own, from its start to its end, all in turn; what counts is how much more
than an empty Python it takes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from benchmarks.harness import in_turns, machine, summary, table, versions

COMMANDS: Mapping[str, Sequence[str]] = {
    "python": ("-c", "pass"),
    "import argus_tasks": ("-c", "import argus_tasks"),
    "argus-tasks --help": ("-m", "argus_tasks", "--help"),
    "import ztxexp": ("-c", "import ztxexp"),
    "import prefect": ("-c", "import prefect"),
}

SHOWN = ("median", "max")

# Loaded by none of ours: Prefect's import alone takes over a second.
HEAVY = ("prefect", "httpx", "pydantic", "numpy")


def seconds_of(words: Sequence[str]) -> float:
    """How long this Python takes for the command, from its start to its end.

    Errors: CalledProcessError.
    """
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def heavy_modules() -> list[str]:
    """Which of the heavy modules `import argus_tasks` loads."""
    code = f"import argus_tasks, sys; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


def measure(rounds: int) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn, name in in_turns(list(COMMANDS), rounds):
        seconds = seconds_of(COMMANDS[name])
        if turn:
            times[name].append(seconds)
    more = {
        name: [mine - bare for mine, bare in zip(taken, times["python"], strict=True)]
        for name, taken in times.items()
    }
    return {
        "benchmark": "import_time",
        "schema_version": 1,
        "machine": machine(),
        "versions": versions("argus-tasks", "prefect", "ztxexp"),
        "options": {"rounds": rounds},
        "heavy_modules": heavy_modules(),
        "seconds": {name: summary(taken) for name, taken in times.items()},
        "more_than_python_s": {name: summary(taken) for name, taken in more.items()},
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.import_time", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="default 10")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    args = parser.parse_args(argv)
    result = measure(args.rounds)
    rows = []
    for name in COMMANDS:
        both = result["seconds"][name], result["more_than_python_s"][name]
        rows.append([name, *(f"{1000 * of[of_what]:.0f}" for of in both for of_what in SHOWN)])
    print(table(["ms, start to end", *SHOWN, "more than python", "max"], rows))
    loaded = ", ".join(result["heavy_modules"]) or "none"
    print(f"\nimport argus_tasks loads, of {', '.join(HEAVY)}: {loaded}")
    if args.json:
        write_json(args.json, result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
