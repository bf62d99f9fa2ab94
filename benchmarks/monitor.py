"""What a monitor costs a sweep: `python -m benchmarks.monitor`.

The same no-op sweep without a monitor, with a loopback Argus server, and with one that is away, in
turns; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from benchmarks.figures import ratio_figure
from benchmarks.harness import ContestantFailed, header, in_turns, summary, table
from benchmarks.overhead_round import Entry, Task, one_round
from benchmarks.prefect_server import EmbeddedServer, ServerFailed
from tests.argus_server import ServerProcess

MEASURES = ("work_ms", "return_ms", "exit_ms", "flow_cpu_ms", "cpu_ms")
_QUIET_LOG = {"PREFECT_LOGGING_LEVEL": "WARNING"}
_NOBODY = "http://127.0.0.1:9"


def compare(n: int, pairs: int, workers: int) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes."""
    options = {"n": n, "pairs": pairs, "workers": workers}
    about = header("monitor", options, ("prefect", "httpx"))
    rounds: dict[str, list[dict[str, Any]]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="monitor-") as home,
        EmbeddedServer(Path(home)) as server,
        ServerProcess(Path(home), validate=False) as argus,
    ):
        entries = {
            "no monitor": {},
            "monitor": {"ARGUS_URL": argus.url, "ARGUS_TOKEN": "em_x"},
            "monitor away": {"ARGUS_URL": _NOBODY, "ARGUS_TOKEN": "em_x"},
        }
        for turn, (name, more) in in_turns(list(entries.items()), pairs):
            outbox = {"ARGUS_OUTBOX_DIR": f"{home}/outbox-{turn}-{len(name)}"}
            environment = {**_QUIET_LOG, **more, **(outbox if more else {})}
            entry = Entry("ours", "sweep_flow(configs, noop, mode='process_pool')", environment)
            figures = one_round(entry, Task(n if turn else 20, workers), server, Path(home))
            if turn:
                rounds.setdefault(name, []).append(figures)
                print(f"==> {turn}/{pairs} {name}: {figures['work_ms']}", file=sys.stderr)
    bare = rounds["no monitor"]
    return {
        **about,
        "figures": {
            f"monitor.{name}.{measure}": ratio_figure(
                [one[f"{measure}_ms"] for one in mine], [one[f"{measure}_ms"] for one in bare]
            )
            for name, mine in rounds.items()
            if mine is not bare
            for measure in ("work", "cpu")
        },
        "rounds": rounds,
        "summary": {
            name: {key: summary(one[key] for one in mine) for key in MEASURES}
            for name, mine in rounds.items()
        },
        "cost": {
            name: {
                key: summary(
                    one[key] - without[key] for one, without in zip(mine, bare, strict=True)
                )
                for key in MEASURES
            }
            for name, mine in rounds.items()
            if name != "no monitor"
        },
    }


def report(result: dict[str, Any]) -> str:
    """Medians, in milliseconds a config, and what is added by neighbours of the same turn."""
    rows = [
        [name, *(f"{figures[key]['median']:.2f}" for key in MEASURES)]
        for name, figures in result["summary"].items()
    ]
    rows += [
        [f"{name}, added", *(f"{figures[key]['median']:+.2f}" for key in MEASURES)]
        for name, figures in result["cost"].items()
    ]
    head = ["ms a config (medians)", "last run ended", "returned", "process ended"]
    return table([*head, "CPU flow", "CPU of all"], rows)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0: all contestants ran."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitor", description=__doc__)
    parser.add_argument("--n", type=int, default=1000, help="configs a round (default 1000)")
    parser.add_argument("--pairs", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--workers", type=int, default=2, help="workers (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    args = parser.parse_args(argv)
    try:
        result = compare(args.n, args.pairs, args.workers)
    except (ContestantFailed, ServerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    print(report(result))
    if args.json:
        write_json(args.json, result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
