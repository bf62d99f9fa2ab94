"""What one bad run of ten costs, here and with the peers: `python -m benchmarks.faults`.

Each contestant runs each fault once, in a process of its own with a time limit; what is left
running two seconds after it is counted and killed. `--page FILE` puts the table between its marks
there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from argus_tasks.base.process_tree import descendants, inherit_orphans, kill_strays
from benchmarks.fault_acts import FAULTS
from benchmarks.fault_round import (
    CONTESTANTS,
    ENDS_FILE,
    FAULTY,
    RUNS,
    TIME_LIMIT_S,
    WITH_FOLDERS,
    WORKERS,
)
from benchmarks.harness import ROOT, machine, versions
from benchmarks.prefect_server import EmbeddedServer, clean_environment
from benchmarks.record import update_record

LIMIT_S = 40.0
LEFT_AFTER_S = 2.0
START, END = "<!-- table: benchmarks/faults.py -->", "<!-- end of table -->"
NEIGHBOURS = RUNS - 1


def one(
    name: str,
    fault: str,
    environment: Mapping[str, str],
    kept: set[int],
    limit_s: float = LIMIT_S,
) -> dict[str, Any]:
    """What a contestant made of a fault."""
    with tempfile.TemporaryDirectory(prefix="argus-faults-") as folder:
        root = Path(folder, "results")
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fault_round", name, fault, str(root)],
            cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        began = time.monotonic()
        hung, line = False, b""
        try:
            line, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired as late:
            hung, line = True, late.stdout or b""
        took_s = time.monotonic() - began
        told: dict[str, Any] = json.loads(line) if line else {}
        if not hung:
            time.sleep(LEFT_AFTER_S)
        left = [pid for pid in descendants(os.getpid()) if pid not in kept]
        _end_all_but(kept)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        ends = _ends_in_folders(root) if name in WITH_FOLDERS else _ends_told(told, root)
    return {
        "returned_s": told.get("seconds"),
        "hung": ("returned" if told else "hung") if hung else "",
        "took_s": round(took_s, 2),
        "limit_s": limit_s,
        "neighbours": sum(ends.get(index) == "" for index in range(RUNS) if index != FAULTY),
        "tenth": ends.get(FAULTY, "nothing"),
        "raised": told.get("raised", ""),
        "exit": process.returncode,
        "running": sum(end == "running" for end in ends.values()),
        "left": 0 if hung else len(left),
    }


def page_table(measured: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The table as Markdown: a row a fault, a column a contestant."""
    lines = [
        f"| one run of {RUNS} | {' | '.join(measured)} |",
        f"|---|{'---|' * len(measured)}",
    ]
    for fault, words in FAULTS.items():
        cells = [_cell(measured[name][fault]) for name in measured]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: Mapping[str, Any]) -> str:
    called = found["tenth"] or "succeeds"
    if called == "nothing" and found["raised"]:
        called = f"call raises {found['raised']}"
    parts = [f"**{found['neighbours']}/{NEIGHBOURS}**", called]
    if found["hung"] == "hung":
        parts.append(f"hung, killed after {found['limit_s']:.0f} s")
    elif found["hung"]:
        parts.append(f"{found['returned_s']:.1f} s, then no exit")
    elif found["returned_s"] is None:
        parts.append(f"the caller died (exit {found['exit']})")
    else:
        parts.append(f"{found['returned_s']:.1f} s")
    if found["running"]:
        parts.append(f"{found['running']} stay *running*")
    if found["left"]:
        parts.append(f"{found['left']} processes left")
    return ", ".join(parts)


def put_on_page(page: Path, table: str) -> None:
    """Replace what stands between the marks. Errors: ValueError where there are none."""
    text = page.read_text(encoding="utf-8")
    before, mark, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{page} has no {START} ... {END}")
    page.write_text(f"{before}{START}\n{table}\n{END}{after}", encoding="utf-8")


def _ends_told(told: Mapping[str, Any], root: Path) -> dict[int, str]:
    ends = dict(told.get("ends", {}))
    if not told:
        with suppress(OSError):
            for line in root.with_name(ENDS_FILE).read_text().splitlines():
                ends |= json.loads(line)
    return {int(index): end for index, end in ends.items()}


def _ends_in_folders(root: Path) -> dict[int, str]:
    ends = {}
    for file in root.glob("*/run.json"):
        with suppress(OSError, ValueError):
            record = json.loads(file.read_text())
            config = json.loads((file.parent / "config.json").read_text())
            said = record.get("cause") or record.get("error_type") or record["status"]
            ends[int(config["index"])] = "" if record["status"] == "succeeded" else str(said)
    return ends


def _end_all_but(kept: set[int]) -> None:
    deadline = time.monotonic() + 20
    while set(descendants(os.getpid())) - kept and time.monotonic() < deadline:
        kill_strays(kept)
        time.sleep(0.02)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--limit-s", type=float, default=LIMIT_S)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/record.json")
    parser.add_argument("--page", type=Path, metavar="FILE")
    args = parser.parse_args(words)
    inherit_orphans()
    settings = {
        "runs": RUNS,
        "workers": WORKERS,
        "time_limit_s": TIME_LIMIT_S,
        "left_counted_after_s": LEFT_AFTER_S,
    }
    record: dict[str, Any] = {
        "what": "one bad run of ten",
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions("argus-tasks", "ztxexp", "joblib", "prefect"),
        "settings": settings,
        "measured": {},
    }
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="argus-faults-home-")))
        server = stack.enter_context(EmbeddedServer(home))
        environment = clean_environment(home) | server.environment(ours=False)
        kept = set(descendants(os.getpid()))
        for name in args.only:
            found = record["measured"][name] = {}
            for fault in args.faults:
                found[fault] = one(name, fault, environment, kept, args.limit_s)
                print(f"{name:<20} {fault:<22} {_cell(found[fault])}", flush=True)
            if args.json:  # after each: it all takes a quarter of an hour
                args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if args.record:
        update_record({"faults": record})
    if args.page:
        put_on_page(args.page, page_table(record["measured"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
