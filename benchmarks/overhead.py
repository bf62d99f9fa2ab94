"""What one orchestrated config costs, beside the peers: `python -m benchmarks.overhead`.

See benchmarks/README.md for what is measured, and what is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from benchmarks.harness import ROOT, ContestantFailed, header, in_turns, say
from benchmarks.overhead_report import complete, overhead_figures, report, summaries
from benchmarks.overhead_round import Entry, Task, one_round
from benchmarks.prefect_server import EmbeddedServer, PrefectServer, ServerFailed, StockServer

NONE: Mapping[str, int] = {}
_QUIET_LOG = {"PREFECT_LOGGING_LEVEL": "WARNING"}
_HEAVY_PYTHON = ROOT / ".venv-integrations" / "bin" / "python"
_HEAVY = str(_HEAVY_PYTHON) if _HEAVY_PYTHON.exists() else sys.executable

PACKAGES = (
    *("prefect", "ztxexp", "joblib", "distributed", "submitit"),
    *("fastapi", "pydantic", "SQLAlchemy", "httpx"),
)

OURS = Entry("ours", "sweep_flow(configs, noop, mode='process_pool')", _QUIET_LOG)
ZTXEXP = Entry("ztxexp", "ExpRunner(configs, root, noop).run(mode='process_pool')")
PREFECT = (
    Entry(
        "prefect-threads-best",
        "task.map on ThreadPoolTaskRunner; NO_CACHE, persist_result=False, log level WARNING, "
        "the config's index as parameter; the task does nothing and writes nothing",
        _QUIET_LOG,
    ),
    Entry(
        "prefect-threads-docs",
        "task.map on ThreadPoolTaskRunner; all defaults (log level INFO, sent to the server), "
        "the config as parameter; the task does nothing and writes nothing",
    ),
    Entry(
        "prefect-processes",
        "task.map on ProcessPoolTaskRunner; otherwise as prefect-threads-best; the clock starts "
        "when the workers are warm",
        _QUIET_LOG,
        share=20,
    ),
)
OTHERS = (
    Entry("ztxexp-sequential", "ExpRunner(configs, root, noop).run(mode='sequential')"),
    Entry("ztxexp-joblib", "ExpRunner(configs, root, noop).run(mode='joblib', workers=2)"),
    Entry(
        "ztxexp-dynamic",
        "ExpRunner(configs, root, noop).run(mode='dynamic', workers=2, cpu_threshold=101)",
        share=50,
    ),
    Entry("joblib-docs", "Parallel(n_jobs=2)(delayed(noop)(config) for config in configs)"),
    Entry("joblib-best", "the same with pre_dispatch='all' and batch_size=n/8"),
    Entry(
        "dask-docs",
        "Client(n_workers=2, threads_per_worker=1), client.gather(client.map(noop, configs)); "
        "the clock starts when the cluster is up",
    ),
    Entry("dask-best", "the same with Client(processes=False, threads_per_worker=2)"),
    Entry(
        "ray",
        "init(num_cpus=2), get([noop.remote(config) for config in configs]); the clock starts "
        "when the workers are warm",
        python=_HEAVY,
    ),
    Entry(
        "submitit",
        "LocalExecutor(folder).submit(noop, config), two at once: a Python process a config",
        share=50,
    ),
    Entry(
        "gnu-parallel",
        "parallel -j2 python -c '...': a Python process a config",
        share=50,
    ),
)
ENTRIES = (OURS, ZTXEXP, *PREFECT, *OTHERS)


def compare(
    entries: tuple[Entry, ...],
    task: Task,
    pairs: int,
    kind: type[PrefectServer] = EmbeddedServer,
    limit_s: float | None = None,
    *,
    key: str = "overhead",
    warm: bool = True,
    fewer: Mapping[str, int] = NONE,
) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes; `limit_s` as for `harness.in_turns`, `key` is
    what the names of its figures begin with, without `warm` there is no turn for warming up, and
    who stands in `fewer` takes part in so many turns only, and in no warming up.

    A peer that fails is left out, with the reason. Errors: ContestantFailed where ours fails.
    """
    options: dict[str, Any] = {
        "n": task.n,
        "pairs": pairs,
        "workers": task.workers,
        "limit_s": limit_s,
    }
    options |= {"job": task.job, "seconds": task.seconds}
    result = header("overhead", options, PACKAGES)
    rounds: dict[str, list[dict[str, Any]]] = {entry.name: [] for entry in entries}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="overhead-server-") as home:
        say("starting a Prefect server")
        with kind(Path(home)) as server:
            result["server"] = {
                "kind": kind.__name__,
                "settings": dict(server.settings),
                "start_s": server.start_s,
            }
            for turn, entry in in_turns(entries, pairs, limit_s):
                first = 0 if warm and entry.name not in fewer else 1
                if entry.name in missing or not first <= turn <= fewer.get(entry.name, pairs):
                    continue
                figures = _one(entry, task if turn else replace(task, n=20), server, Path(home))
                if "missing" in figures:
                    missing[entry.name] = figures["missing"]
                    say(f"{entry.name} is left out: {figures['missing']}")
                elif turn:
                    rounds[entry.name].append({"turn": turn, **figures})
                    say(f"{turn}/{pairs} {entry.name}: {figures['work_ms']:.2f} ms a config")
    result["contestants"] = {
        entry.name: {
            "settings": entry.settings,
            "environment": dict(entry.environment),
            **({"missing": missing[entry.name]} if entry.name in missing else {}),
            "rounds": rounds[entry.name],
            "summary": summaries(rounds[entry.name]),
        }
        for entry in entries
    }
    result["figures"] = overhead_figures(rounds, f"{key}.{task.n}")
    return result


def _one(entry: Entry, task: Task, server: PrefectServer, place: Path) -> Mapping[str, Any]:
    try:
        return one_round(entry, task, server, place)
    except ContestantFailed as error:
        if entry.name == OURS.name:
            raise
        return {"missing": f"failed: {str(error).strip().splitlines()[-1]}"}


def main(argv: list[str] | None = None) -> int:
    """Exit code 0: all contestants ran and all they did is on the server. 1: not so."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--n", type=int, default=1000, help="configs a round (default 1000)")
    parser.add_argument("--pairs", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--workers", type=int, default=2, help="workers or threads (default 2)")
    parser.add_argument("--quick", action="store_true", help="does it run: --n 100 --pairs 2")
    parser.add_argument(
        "--stock-server",
        action="store_true",
        help="not the embedded server, but Prefect's as it comes",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these contestants")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    args = parser.parse_args(argv)
    names = [entry.name for entry in ENTRIES]
    for name in args.only or []:
        if name not in names:
            parser.error(f"--only {name}: expected some of {', '.join(names)}")
    entries = tuple(entry for entry in ENTRIES if entry.name in (args.only or names))
    n, pairs = (100, 2) if args.quick else (args.n, args.pairs)
    kind = StockServer if args.stock_server else EmbeddedServer
    try:
        result = compare(entries, Task(n, args.workers), pairs, kind)
    except (ContestantFailed, ServerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    print(report(result))
    if args.json:
        write_json(args.json, result)
    return 0 if complete(result) else 1


if __name__ == "__main__":
    raise SystemExit(main())
