"""How long a person waits at the start: `python -m benchmarks.starting`.

Time to the first job and to the prompt, with the embedded server (the very first time, and later)
and with one that runs already, beside `python -c "import prefect"`; and what the commands that only
look take. Each reading is a process of its own, timed from outside.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from benchmarks.figures import Figures, figure, ratio_figure
from benchmarks.harness import ROOT, header, in_turns, say, table
from benchmarks.prefect_server import EmbeddedServer, clean_environment

LIMIT_S = 180.0
BASE = "import prefect"
Reading = dict[str, float]


@dataclass(frozen=True)
class Command:
    """A way to start: its name, and what gives a reading of it."""

    name: str
    read: Callable[[], Reading]
    warms_up: bool = True


def timed(words: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT) -> Reading:
    """This Python with these words, from its start to its end. Errors: CalledProcessError."""
    started = time.time()
    subprocess.run(
        [sys.executable, *words],
        env=environment,
        cwd=folder,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=LIMIT_S,
    )
    return {"prompt_s": time.time() - started}


def first_job(name: str, environment: Mapping[str, str]) -> Reading:
    """A script with a single job: when that ran, and when the prompt was back."""
    with tempfile.TemporaryDirectory(prefix="starting-") as folder:
        mark = Path(folder) / "mark"
        words = ["-m", "benchmarks.first_job", name, str(mark), str(Path(folder) / "results")]
        started = time.time()
        reading = timed(words, environment)
        return {"first_job_s": float(mark.read_text()) - started, **reading}


def embedded(home: Path, name: str = "ours", **more: str) -> Reading:
    """The same with no server running; the one that it has started is ended afterwards."""
    environment = {**clean_environment(home), **more}
    try:
        return first_job(name, environment)
    finally:
        timed(["-m", "argus_tasks", "server", "stop"], environment)


def first_ever(name: str = "ours") -> Reading:
    """The same in an empty home."""
    with tempfile.TemporaryDirectory(prefix="starting-home-") as home:
        # A database made earlier would be taken from there.
        return embedded(Path(home), name, XDG_CACHE_HOME=str(Path(home) / "cache"))


def commands(stack: ExitStack, *, full: bool) -> list[Command]:
    """All ways to start; what they need lives as long as the stack."""
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="starting-")))
    server = stack.enter_context(EmbeddedServer(home / "server"))
    plain = clean_environment(home / "plain")
    running = {**plain, **server.environment(ours=True)}
    reached = {**plain, **server.environment(ours=False)}
    sweep = home / "sweep"
    timed(["-m", "argus_tasks", "init", str(sweep)], plain)
    timed(["-m", "argus_tasks", "run", str(sweep / "sweep.yaml")], running, home)

    def cli(*words: str) -> Callable[[], Reading]:
        return lambda: timed(["-m", "argus_tasks", *words], plain, sweep)

    found = [
        Command("python", lambda: timed(["-c", "pass"], plain)),
        Command(BASE, lambda: timed(["-c", "import prefect"], plain)),
        Command("import argus_tasks", lambda: timed(["-c", "import argus_tasks"], plain)),
        Command("import ztxexp", lambda: timed(["-c", "import ztxexp"], plain)),
        Command("argus-tasks --help", cli("--help")),
        Command("argus-tasks plan", cli("plan", "sweep.yaml")),
        Command("argus-tasks status", cli("status", "--results-root", "results")),
        Command("ours, server running", lambda: first_job("ours", running)),
        Command("prefect, server running", lambda: first_job("prefect", reached)),
        Command("ztxexp", lambda: first_job("ztxexp", plain)),
        Command("ours, embedded", lambda: embedded(home / "warm")),
        Command("ours, first ever", first_ever, warms_up=False),
    ]
    if full:
        found += [
            Command("prefect, embedded", lambda: first_job("prefect", plain)),
            Command("prefect, first ever", lambda: first_ever("prefect"), warms_up=False),
        ]
    return found


def measure(rounds: int, limit_s: float | None = None, *, full: bool = False) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes."""
    options = {"rounds": rounds, "limit_s": limit_s, "full": full}
    result = header("starting", options, ("prefect", "ztxexp"))
    readings: dict[str, list[Reading]] = {}
    with ExitStack() as stack:
        for turn, command in in_turns(commands(stack, full=full), rounds, limit_s):
            if not turn and not command.warms_up:
                continue
            reading = command.read()
            if turn:
                readings.setdefault(command.name, []).append(reading)
                told = ", ".join(f"{value:.2f}" for value in reading.values())
                say(f"{turn}/{rounds} {command.name}: {told} s")
    result["readings"] = readings
    result["figures"] = starting_figures(readings)
    return result


def starting_figures(readings: Mapping[str, Sequence[Reading]]) -> Figures:
    """Seconds to the prompt and to the first job; and the latter over what Prefect's import takes,
    as `starting.WHAT.over_import`."""
    base = [reading["prompt_s"] for reading in readings[BASE]]
    found: Figures = {}
    for name, each in readings.items():
        found[f"starting.{name}.prompt"] = figure((one["prompt_s"] for one in each), "s")
        if "first_job_s" in each[0]:
            seconds = [one["first_job_s"] for one in each]
            found[f"starting.{name}.first_job"] = figure(seconds, "s")
            found[f"starting.{name}.over_import"] = ratio_figure(seconds, base)
    return found


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """For each way to start: seconds to its first job and to the prompt, and the ratio."""
    figures = result["figures"]

    def cell(name: str, what: str, unit: str) -> str:
        of = figures.get(f"starting.{name}.{what}")
        return f"{of['median']:.2f}{unit}" if of else "-"

    return [
        [
            name,
            cell(name, "first_job", " s"),
            cell(name, "prompt", " s"),
            cell(name, "over_import", "×"),
            str(of["pairs"]),
        ]
        for key, of in figures.items()
        if key.endswith(".prompt")
        for name in [key.removeprefix("starting.").removesuffix(".prompt")]
    ]


HEAD = ("what is started", "first job", "prompt", "first job / import prefect", "readings")


def main(argv: list[str] | None = None) -> int:
    """Run it alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--full", action="store_true", help="Prefect's own embedded server too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    args = parser.parse_args(argv)
    result = measure(args.rounds, full=args.full)
    print(table(HEAD, rows(result)))
    if args.json:
        write_json(args.json, result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
