"""Does `mode: dynamic` hold the machine under its threshold, and what does a limit cost?

Three parts, in one run: jobs of a known duty cycle under a load of others that steps up and down,
beside ztxexp's dynamic mode; configs that do nothing where nothing is held, beside the same; and
jobs of 0.2 s at a limit on Prefect's server that is changed meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from argus_tasks.base.files import write_json
from benchmarks.control_figures import ideal_at_limit_s, ideal_s, running_at, share_over
from benchmarks.figures import SHARE, Figures, figure, ratio_figure
from benchmarks.harness import Contestant, header, in_turns, ratios, say, table
from benchmarks.prefect_server import EmbeddedServer, PrefectServer, clean_environment

CORES = psutil.cpu_count() or 1
BURN = """
import sys, time
duty, period = float(sys.argv[1]), 0.05
while True:
    begun = time.time()
    until = time.thread_time() + duty * period
    while time.thread_time() < until:
        pass
    time.sleep(max(0.0, begun + period - time.time()))
"""


class OutsideLoad:
    """Other people's load: so many percent of the machine, on and off."""

    def __init__(self, percent: float, every_s: float) -> None:
        self._percent = percent
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.levels: list[tuple[float, float]] = []

    def __enter__(self) -> OutsideLoad:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self.levels.append((time.time(), 0.0))
            if self._over.wait(self._every_s):
                return
            self.levels.append((time.time(), self._percent))
            with _burning(self._percent / 100 * CORES):
                self._over.wait(self._every_s)


@contextmanager
def _burning(cores: float) -> Iterator[None]:
    duties = [min(1.0, cores - each) for each in range(int(cores) + 1) if cores > each]
    burning = [subprocess.Popen([sys.executable, "-c", BURN, str(duty)]) for duty in duties]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


class Sampler:
    """Reads the machine's CPU, as a mean over a second, four times a second."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        psutil.cpu_percent(None)
        last: list[float] = []
        while not self._over.wait(0.25):
            last = [*last[-3:], psutil.cpu_percent(None)]
            self.samples.append((time.time() - 0.5, statistics.mean(last)))


def _run(name: str, plan: dict[str, Any], server: PrefectServer) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="control-") as folder:
        environment = {
            **clean_environment(Path(folder)),
            **server.environment(ours=True),
        }
        words = json.dumps({**plan, "root": str(Path(folder) / "results")})
        command = [sys.executable, "-m", "benchmarks.control_jobs", name, words]
        with Contestant(command, environment, timeout_s=400) as contestant:
            told = contestant.told()
            contestant.finished()
    assert len(told["spans"]) == plan["n"], f"{name} ran {len(told['spans'])} of {plan['n']}"
    return told


def control(server: PrefectServer, rounds: int, n: int) -> dict[str, Any]:
    """Jobs under a load that steps: how long over the threshold, and how long in all."""
    plan: dict[str, Any] = {"n": n, "seconds": 3.0, "duty": min(1.0, 0.12 * CORES)}
    plan |= {"mode": "dynamic", "threshold": 70, "workers": 8}
    cost_pct = 100 * plan["duty"] / CORES
    found: dict[str, list[dict[str, float]]] = {"ours": [], "ztxexp": []}
    for turn, name in in_turns(list(found), rounds):
        if turn == 0:
            continue
        idle_pct = psutil.cpu_percent(2.0)
        with OutsideLoad(36.0, 12.0) as load, Sampler() as sampler:
            told = _run(name, plan, server)
        spans = told["spans"]
        share, counted = share_over(sampler.samples, spans, plan["threshold"])
        outside = [(at, level + idle_pct) for at, level in load.levels]
        begun, ended = min(spans)[0], max(end for _, end in spans)
        ideal = ideal_s(
            n,
            plan["seconds"],
            begun,
            outside,
            cost_pct=cost_pct,
            threshold_pct=plan["threshold"],
            workers=plan["workers"],
        )
        figures = {
            "idle_before_pct": idle_pct,
            "share_over": round(share, 4),
            "readings_counted": counted,
            "makespan_s": round(ended - begun, 2),
            "ideal_s": round(ideal, 2),
            "over_ideal": round((ended - begun) / ideal, 3),
            "most_at_once": max(running_at(spans, at) for at, _ in spans),
        }
        found[name].append(figures)
        say(f"control {turn}/{rounds} {name}: {figures}")
    return {"plan": plan, "cost_pct": cost_pct, "outside_pct": 36.0, "rounds": found}


def no_ops(
    server: PrefectServer, rounds: int, n: int, limit_s: float | None = None
) -> dict[str, Any]:
    """Configs that do nothing, nothing held: what the mode itself costs."""
    plan = {"n": n, "seconds": 0, "duty": 0, "mode": "dynamic", "threshold": 100, "workers": 2}
    took: dict[str, list[float]] = {"ours": [], "ztxexp": []}
    whole: dict[str, list[float]] = {"ours": [], "ztxexp": []}
    for turn, name in in_turns(list(took), rounds, limit_s):
        told = _run(name, plan | {"n": n if turn else 4}, server)
        ended = max(end for _, end in told["spans"])
        took_s, whole_s = ended - min(told["spans"])[0], ended - told["began_at"]
        if turn:
            took[name].append(round(took_s, 4))
            whole[name].append(round(whole_s, 4))
            say(f"no-ops {turn}/{rounds} {name}: {took_s:.3f} s, {whole_s:.3f} s from the call")
    return {
        "plan": plan,
        "first_to_last_s": took,
        "call_to_last_s": whole,
        "ratio": ratios(took["ours"], took["ztxexp"]),
        "ratio_from_the_call": ratios(whole["ours"], whole["ztxexp"]),
    }


def limit(server: PrefectServer, rounds: int) -> dict[str, Any]:
    """200 jobs of 0.2 s at a limit of 8, set to 4 and back to 8 meanwhile."""
    found = []
    for turn in range(rounds):
        name = f"bench-{uuid.uuid4().hex[:8]}"
        plan = {"n": 200, "seconds": 0.2, "duty": 0, "mode": "process_pool", "workers": 8}
        plan |= {"threshold": 100, "limits": {name: 8}}
        limits: list[tuple[float, float]] = [(0.0, 8.0)]
        changer = threading.Thread(target=_change, args=(server, name, limits))
        changer.start()
        told = _run("ours", plan, server)
        changer.join()
        spans = told["spans"]
        begun, ended = min(spans)[0], max(end for _, end in spans)
        ideal = ideal_at_limit_s(200, 0.2, begun, limits)
        obeyed_s = [
            next((at - when for at, _ in spans if at > when and running_at(spans, at) <= value), -1)
            for when, value in limits[1:2]
        ]
        figures = {
            "makespan_s": round(ended - begun, 3),
            "ideal_s": round(ideal, 3),
            "efficiency": round(ideal / (ended - begun), 4),
            "most_at_once": max(running_at(spans, at) for at, _ in spans),
            "lowered_obeyed_s": [round(each, 2) for each in obeyed_s],
            "changes": len(limits) - 1,
        }
        found.append(figures)
        say(f"limit {turn + 1}/{rounds}: {figures}")
    return {"jobs": 200, "seconds": 0.2, "limit": "8, then 4, then 8", "rounds": found}


def _change(server: PrefectServer, name: str, limits: list[tuple[float, float]]) -> None:
    """As a person does in the UI: once slots are taken, down, and up again."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if _ask(server, name, "GET")["active_slots"]:
                break
        except OSError:
            pass
        time.sleep(0.05)
    for value in (4, 8):
        time.sleep(1.5)
        while True:
            try:
                _ask(server, name, "PATCH", {"limit": value})
                break
            except OSError:  # busy
                time.sleep(0.05)
        limits.append((time.time(), float(value)))


def _ask(server: PrefectServer, name: str, method: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        f"{server.url}/v2/concurrency_limits/{name}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers=server.headers(),
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def report(result: dict[str, Any]) -> str:
    """What came out, as text."""
    parts = []
    if "control" in result:
        rows = []
        for name, rounds in result["control"]["rounds"].items():
            over = statistics.median(each["share_over"] for each in rounds)
            ideal = statistics.median(each["over_ideal"] for each in rounds)
            rows.append([name, f"{100 * over:.1f} %", f"{ideal:.2f}"])
        parts.append(table(["dynamic", "time over threshold", "makespan over ideal"], rows))
    if "no_ops" in result:
        ratio = result["no_ops"]["ratio"]
        whole = result["no_ops"]["ratio_from_the_call"]
        parts.append(
            f"no-ops, ours over ztxexp's: {ratio['median']} from the first run to the last (aim:"
            f" <= 0.025), {whole['median']} from the call"
        )
    if "limit" in result:
        rounds = result["limit"]["rounds"]
        least = statistics.median(each["efficiency"] for each in rounds)
        most = max(each["most_at_once"] for each in rounds)
        parts.append(f"limit of 8: at most {most} at once, efficiency {100 * least:.1f} %")
    return "\n\n".join(parts)


def measure(
    parts: Sequence[str], rounds: int, limit_s: float | None = None, *, quick: bool = False
) -> dict[str, Any]:
    """These parts, as the JSON it writes; the limit is for the turns of `no_ops`."""
    options = {"parts": list(parts), "rounds": rounds, "limit_s": limit_s}
    result = header("control", options, ("prefect", "ztxexp", "psutil"))
    with (
        tempfile.TemporaryDirectory(prefix="control-server-") as home,
        EmbeddedServer(Path(home)) as server,
    ):
        if "limit" in parts:
            result["limit"] = limit(server, rounds)
        if "no_ops" in parts:
            result["no_ops"] = no_ops(server, rounds, 60, limit_s)
        if "control" in parts:
            result["control"] = control(server, rounds, 10 if quick else 48)
    result["load_after"] = [round(load, 2) for load in os.getloadavg()]
    result["figures"] = control_figures(result)
    return result


def control_figures(result: Mapping[str, Any]) -> Figures:
    """What is claimed of the parts that were run."""
    found: Figures = {}
    if "no_ops" in result:
        for key, of in (("first_to_last", "first_to_last_s"), ("from_the_call", "call_to_last_s")):
            each = result["no_ops"][of]
            found[f"dynamic.{key}"] = ratio_figure(each["ours"], each["ztxexp"])
    if "limit" in result:
        rounds = result["limit"]["rounds"]
        found["limit.efficiency"] = figure((each["efficiency"] for each in rounds), SHARE)
        found["limit.most_at_once"] = figure((each["most_at_once"] for each in rounds), "")
    for name, rounds in result.get("control", {}).get("rounds", {}).items():
        over = (100 * each["share_over"] for each in rounds)
        found[f"control.{name}.over_threshold"] = figure(over, "%")
        found[f"control.{name}.over_ideal"] = figure((one["over_ideal"] for one in rounds), "×")
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each part (default 3)")
    parser.add_argument("--only", nargs="+", choices=("control", "no_ops", "limit"))
    parser.add_argument("--quick", action="store_true", help="does it run: one short round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    args = parser.parse_args(argv)
    rounds = 1 if args.quick else args.rounds
    parts = args.only or ["control", "no_ops", "limit"]
    result = measure(parts, rounds, quick=args.quick)
    print(report(result))
    if args.json:
        write_json(args.json, result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
