"""What reading run folders costs: python -m benchmarks.results_scale [RUNS ...]

Writes that many run folders into a temporary folder, then reads them and makes the leaderboard
three times; the best counts, with everything in the page cache.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from argus_tasks.base.ids import digest_of
from argus_tasks.results.frames import results
from argus_tasks.results.leaderboard import leaderboard
from argus_tasks.results.load import load_batch


def write_runs(root: Path, runs: int) -> None:
    """Run folders as a sweep of 20 models, 10 datasets, learning rates and five seeds leaves."""
    for index in range(runs):
        config = {
            "model": f"model-{index % 20}",
            "dataset": f"data-{index // 20 % 10}",
            "optim": {"name": "adam", "lr": 0.001 * (1 + index // 1000)},
            "seed": index // 200 % 5,
            "epochs": 20,
        }
        run_id = (
            f"20260101_{index // 3600 % 24:02d}{index // 60 % 60:02d}{index % 60:02d}_{index:08x}"
        )
        run = {
            "schema_version": 2,
            "run_id": run_id,
            "status": "failed" if index % 50 == 0 else "succeeded",
            "started_at": f"2026-01-01T00:00:00.{index:06d}+00:00",
            "finished_at": "2026-01-01T00:10:00+00:00",
            "duration_sec": 1.5,
            "error_type": "ValueError" if index % 50 == 0 else None,
            "error_message": "no" if index % 50 == 0 else None,
            "attempt": 1,
            "batch_id": "bench-0123456789abcdef",
            "digest": digest_of("a.b:c", config),
            "job_id": f"job-{index}",
        }
        folder = root / run_id
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config, indent=2))
        (folder / "run.json").write_text(json.dumps(run, indent=2))
        metrics = {"MSE": index / runs, "MAE": 0.5, "skill": 0.1}
        if run["status"] == "succeeded":
            (folder / "metrics.json").write_text(json.dumps(metrics))


def main() -> None:
    """Measure each of the sizes given; 2,000 and 10,000 without any."""
    for runs in [int(word) for word in sys.argv[1:]] or [2_000, 10_000]:
        with TemporaryDirectory() as folder:
            write_runs(Path(folder), runs)
            rounds = [_round(folder) for _ in range(3)]
            wall, cpu = (
                [min(each[place][kind] for each in rounds) for place in range(3)] for kind in (0, 1)
            )
            print(
                f"{runs} runs: read {wall[0]:.2f} s, leaderboard {wall[1]:.2f} s,"
                f" DataFrame of all {wall[2]:.2f} s"
                f" (CPU {cpu[0]:.2f}, {cpu[1]:.2f}, {cpu[2]:.2f} s)"
            )


def _round(folder: str) -> list[tuple[float, float]]:
    """Wall clock and CPU time of reading, of the leaderboard, and of `results(path)`."""
    marks = [_now()]
    loaded, _ = load_batch(folder)
    marks.append(_now())
    leaderboard(loaded.rows)
    marks.append(_now())
    results(folder)
    marks.append(_now())
    return [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)]


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main()
