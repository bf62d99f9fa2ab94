"""What one orchestrated config costs, beside the peers: `python -m benchmarks.overhead`.

See benchmarks/README.md for what is measured, and what is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from argus_tasks.base.files import write_json
from argus_tasks.base.repo import repo_of
from benchmarks.harness import ROOT, ContestantFailed, in_turns, machine, versions
from benchmarks.overhead_report import complete, ratios_to_ours, report, summaries
from benchmarks.overhead_round import Entry, one_round
from benchmarks.prefect_server import EmbeddedServer, PrefectServer, ServerFailed, StockServer

_QUIET_LOG = {"PREFECT_LOGGING_LEVEL": "WARNING"}


ENTRIES = (
    Entry("ours", "sweep_flow(configs, noop, mode='process_pool')", _QUIET_LOG),
    Entry("ztxexp", "ExpRunner(configs, root, noop).run(mode='process_pool')"),
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


def compare(
    entries: tuple[Entry, ...], n: int, pairs: int, workers: int, kind: type[PrefectServer]
) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes."""
    result: dict[str, Any] = {
        "benchmark": "overhead",
        "schema_version": 1,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": {"n": n, "pairs": pairs, "workers": workers},
        "machine": machine(),
        "versions": _versions(),
    }
    rounds: dict[str, list[dict[str, Any]]] = {entry.name: [] for entry in entries}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="overhead-server-") as home:
        _say("starting a Prefect server")
        with kind(Path(home)) as server:
            result["server"] = {
                "kind": kind.__name__,
                "settings": dict(server.settings),
                "start_s": server.start_s,
            }
            for turn, entry in in_turns(entries, pairs):
                if entry.name in missing:
                    continue
                figures = one_round(entry, n if turn else 20, workers, server)
                if "missing" in figures:
                    missing[entry.name] = figures["missing"]
                    _say(f"{entry.name} is left out: {figures['missing']}")
                elif turn:
                    rounds[entry.name].append(figures)
                    _say(f"{turn}/{pairs} {entry.name}: {figures['work_ms']:.2f} ms a config")
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
    result["ratios"] = ratios_to_ours(rounds)
    return result


def _versions() -> dict[str, str]:
    repo = repo_of(ROOT)
    packages = ("argus-tasks", "prefect", "ztxexp", "fastapi", "pydantic", "SQLAlchemy", "httpx")
    sha = f"{repo.sha}{' (changed)' if repo.dirty else ''}" if repo else "no-git"
    return {**versions(*packages), "git": sha}


def _say(words: str) -> None:
    print(f"==> {words}", file=sys.stderr, flush=True)


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
        result = compare(entries, n, pairs, args.workers, kind)
    except (ContestantFailed, ServerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    print(report(result))
    if args.json:
        write_json(args.json, result)
    return 0 if complete(result) else 1


if __name__ == "__main__":
    raise SystemExit(main())
