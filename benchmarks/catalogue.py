"""What deciding what is left costs: python -m benchmarks.catalogue [RUNS ...]

Writes that many finished runs into a temporary folder and makes the plan of a sweep that has
exactly them: warm, the best of three; cold, once, after the page cache has let the files go
(inodes stay cached). Then what a claim costs. The record goes to benchmarks/results/catalogue.json.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from argus_tasks.base.ids import digest_of
from argus_tasks.runs.claims import Claims
from argus_tasks.sweep.plan import Action, make_plan
from argus_tasks.sweep.request import SweepRequest
from argus_tasks.sweep.resolve import resolve
from benchmarks.noop import noop

RESULT = Path(__file__).parent / "results" / "catalogue.json"


def write_runs(root: Path, request: SweepRequest) -> None:
    """A succeeded run's record for each config, as a sweep leaves it."""
    identity = request.experiment.identity or ""
    for index, config in enumerate(request.configs):
        run_id = f"20260101_{index // 3600:02d}{index // 60 % 60:02d}{index % 60:02d}_{index:08x}"
        record = {
            "schema_version": 2,
            "run_id": run_id,
            "status": "succeeded",
            "started_at": "2026-01-01T00:00:00.000000+00:00",
            "finished_at": "2026-01-01T00:10:00.000000+00:00",
            "duration_sec": 1.5,
            "experiment_name": "noop",
            "attempt": 1,
            "retry_count": 0,
            "batch_id": "bench-0123456789abcdef",
            "digest": digest_of(identity, config),
            "job_id": f"job-{index}",
            "resumable": False,
        }
        folder = root / run_id
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(record))


def let_go(root: Path) -> None:
    """Have the page cache forget the files' content."""
    os.sync()
    for path in root.glob("*/run.json"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def plan_s(request: SweepRequest) -> float:
    """Seconds to decide that nothing is left."""
    start = time.perf_counter()
    plan = make_plan(request)
    seconds = time.perf_counter() - start
    assert plan.count(Action.REUSE) == len(request.configs)
    return seconds


def claim_us(root: Path, count: int = 2_000) -> float:
    """Microseconds to take a claim and to give it back."""
    claims = Claims(root, "bench")
    claims.open()
    start = time.perf_counter()
    for index in range(count):
        claims.take(f"{index:064x}", "20260101_000000_00000000")
        claims.give_back(f"{index:064x}")
    return (time.perf_counter() - start) / count * 1e6


def main() -> None:
    """Measure each of the sizes given; 2,500, 5,000 and 10,000 without any."""
    sizes = [int(word) for word in sys.argv[1:]] or [2_500, 5_000, 10_000]
    found = []
    for runs in sizes:
        with TemporaryDirectory() as folder:
            configs = [{"x": index, "lr": index / 7} for index in range(runs)]
            request = resolve(configs, noop, results_root=folder, project="p", name="n")
            write_runs(Path(folder), request)
            warm_s = min(plan_s(request) for _ in range(3))
            let_go(Path(folder))
            cold_s = plan_s(request)
            found.append({"runs": runs, "warm_s": round(warm_s, 3), "cold_s": round(cold_s, 3)})
            print(f"{runs} runs: {warm_s:.2f} s warm, {cold_s:.2f} s cold", flush=True)
    with TemporaryDirectory() as folder:
        claim = min(claim_us(Path(folder)) for _ in range(3))
    print(f"a claim, taken and given back: {claim:.0f} us")
    RESULT.write_text(
        json.dumps(
            {
                "python": platform.python_version(),
                "cpus": os.cpu_count(),
                "load_1min": round(os.getloadavg()[0], 1),
                "plans": found,
                "claim_us": round(claim, 1),
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
