"""What it costs to have many finished runs: `python -m benchmarks.resume [--sizes N ...]`.

Writes that many run folders, which both runners can read. Then, ours and ztxexp's in turns:
deciding that nothing is left to run, and all results as a DataFrame; of ours alone: the plan with
the page cache emptied (inodes stay cached), the leaderboard, the report, and what a claim costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from argus_tasks.base.files import write_json
from argus_tasks.base.ids import digest_of
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.resolve import resolve
from argus_tasks.planning.sweep_plan import Action
from argus_tasks.provenance.manifest import Absent, CodeFile, Manifest
from argus_tasks.provenance.objects import OBJECTS, ObjectStore
from argus_tasks.results.read.load import load_batch
from argus_tasks.results.report.page import ReportRequest, make_report
from argus_tasks.results.tables.frames import results
from argus_tasks.results.tables.leaderboard import leaderboard
from argus_tasks.runs.ledger.claims import Claims
from argus_tasks.session.prepared_sweep import make_plan
from benchmarks.figures import Figures, figure, ratio_figure
from benchmarks.harness import header, in_turns, say, table
from benchmarks.jobs import noop

MOST_REPORTED = 10_000
MOST_PLANNED_BY_ZTXEXP = 2_000
"""Its way compares each config with each run: 0.2 s for 500, 3 s for 2,000, minutes for 10,000."""
Readings = dict[str, list[float]]


def configs_of(runs: int) -> list[dict[str, Any]]:
    """20 models, 10 datasets, five seeds, and as many learning rates as it takes."""
    return [
        {
            "model": f"model-{index % 20}",
            "dataset": f"data-{index // 20 % 10}",
            "optim": {"name": "adam", "lr": 0.001 * (1 + index // 1000)},
            "seed": index // 200 % 5,
            "epochs": 20,
        }
        for index in range(runs)
    ]


def write_runs(root: Path, request: SweepRequest) -> None:
    """A succeeded run for each config, as a sweep leaves it."""
    identity = request.experiment.identity or ""
    mark = request.experiment.mark
    assert mark is not None
    manifest = list_of_code(root, Path(mark.top))
    count = len(request.configs)
    for index, config in enumerate(request.configs):
        run_id = f"20260101_{index // 3600:02d}{index // 60 % 60:02d}{index % 60:02d}_{index:08x}"
        record = {
            "schema_version": 2,
            "run_id": run_id,
            "status": "succeeded",
            "started_at": f"2026-01-01T00:00:00.{index:06d}+00:00",
            "finished_at": "2026-01-01T00:10:00.000000+00:00",
            "duration_sec": 1.5,
            "error_type": None,
            "error_message": None,
            "experiment_name": "noop",
            "attempt": 1,
            "retry_count": 0,
            "batch_id": "bench-0123456789abcdef",
            "digest": digest_of(identity, config),
            "job_id": f"job-{index}",
            "experiment": mark.to_record(),
            "manifest": manifest,
            "earlier_manifests": [],
            "resumable": False,
        }
        folder = root / run_id
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "run.json").write_text(json.dumps(record))
        metrics = {"MSE": (1 + index) / count, "MAE": 0.5, "skill": 0.1}
        (folder / "metrics.json").write_text(json.dumps(metrics))


def list_of_code(root: Path, top: Path, most: int = 200) -> str:
    """The name of a stored list of files of this project, as a run of a real one has it."""
    store = ObjectStore(root / OBJECTS)
    files = []
    for path in sorted((top / "argus_tasks").rglob("*.py"))[:most]:
        content = path.read_bytes()
        name = path.relative_to(top).as_posix()
        files.append(CodeFile(name, sha256(content).hexdigest()))
        store.put_source(files[-1].digest, content, name)
    absent = (Absent(".", ("numpy", "tomllib", "torch")),)
    return store.put_manifest(Manifest(tuple(files), absent, python=platform.python_version()))


def let_go(root: Path) -> None:
    """Have the page cache forget the files' content."""
    os.sync()
    for path in root.glob("*/*.json"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def claim_us(root: Path, count: int = 2_000) -> float:
    """Microseconds to take a claim and to give it back."""
    claims = Claims(root, "bench")
    claims.open()
    start = time.perf_counter()
    for index in range(count):
        claims.take(f"{index:064x}", "20260101_000000_00000000")
        claims.give_back(f"{index:064x}")
    return (time.perf_counter() - start) / count * 1e6


def readings_of(runs: int, rounds: int, limit_s: float | None) -> Readings:
    """Seconds for each act, with so many finished runs."""
    with TemporaryDirectory(prefix="resume-") as folder:
        root = Path(folder)
        configs = configs_of(runs)
        request = resolve(configs, noop, results_root=folder, project="p", name="n")
        write_runs(root, request)

        def plan() -> None:
            made = make_plan(request)
            assert made.count(Action.REUSE) == runs

        acts: dict[str, Callable[[], object]] = {
            "plan": plan,
            "results": lambda: results(folder),
            "results, ztxexp": lambda: _ztxexp_results(folder, runs),
        }
        if runs <= MOST_PLANNED_BY_ZTXEXP:
            acts["plan, ztxexp"] = lambda: _ztxexp_plan(configs, folder)
        found: Readings = {}
        for turn, name in in_turns(list(acts), rounds, limit_s):
            seconds = _seconds(acts[name])
            if turn:
                found.setdefault(name, []).append(seconds)
        loaded, superseded = load_batch(folder)
        found["leaderboard"] = [_seconds(lambda: leaderboard(loaded.rows)) for _ in range(3)]
        if runs <= MOST_REPORTED:
            asked = ReportRequest(
                root, loaded.rows, loaded.odd, superseded, None, None, None, None, None
            )
            found["report"] = [_seconds(lambda: make_report(asked))]
        let_go(root)
        found["plan, cold"] = [_seconds(plan)]
        return found


def _ztxexp_plan(configs: list[dict[str, Any]], folder: str) -> None:
    from ztxexp import ExpManager

    manager = ExpManager({})
    manager._configs = configs  # its own way in is a grid; this is what that fills
    left = manager.exclude_completed(folder).build()
    assert not left, f"ztxexp would run {len(left)} again"


def _ztxexp_results(folder: str, runs: int) -> None:
    from ztxexp import ResultAnalyzer

    assert len(ResultAnalyzer(folder).to_dataframe()) == runs


def _seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def measure(sizes: Sequence[int], rounds: int, limit_s: float | None = None) -> dict[str, Any]:
    """The whole benchmark, as the JSON it writes; the limit is for the turns at each size."""
    options = {"sizes": list(sizes), "rounds": rounds, "limit_s": limit_s}
    result = header("resume", options, ("ztxexp", "pandas"))
    result["readings"] = {}
    for runs in sizes:
        result["readings"][str(runs)] = found = readings_of(runs, rounds, limit_s)
        say(f"{runs} runs: " + ", ".join(f"{name} {min(s):.2f} s" for name, s in found.items()))
    with TemporaryDirectory(prefix="resume-") as folder:
        result["claim_us"] = [claim_us(Path(folder) / str(turn)) for turn in range(3)]
    result["figures"] = resume_figures(result["readings"], result["claim_us"])
    return result


def resume_figures(readings: dict[str, Readings], claims_us: Sequence[float]) -> Figures:
    """Seconds as `resume.N.WHAT`, and over ztxexp's as `resume.N.WHAT.over_ztxexp`."""
    found: Figures = {}
    for runs, of in readings.items():
        for name, seconds in of.items():
            found[f"resume.{runs}.{name}"] = figure(seconds, "s")
        for name in ("plan", "results"):
            if theirs := of.get(f"{name}, ztxexp"):
                found[f"resume.{runs}.{name}.over_ztxexp"] = ratio_figure(of[name], theirs)
    found["resume.claim"] = figure(claims_us, "us")
    return found


def sizes(result: Mapping[str, Any]) -> list[str]:
    """The numbers of finished runs that were measured."""
    return list(dict.fromkeys(runs for runs, _ in _acts(result)))


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """For each act its median seconds, a column a size."""
    figures = result["figures"]

    def cell(runs: str, act: str) -> str:
        of = figures.get(f"resume.{runs}.{act}")
        return f"{of['median']:.2f} s" if of else "-"

    acts = dict.fromkeys(act for _, act in _acts(result))
    return [[act, *(cell(runs, act) for runs in sizes(result))] for act in acts]


def _acts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Size and act of each figure that is a time."""
    parts = [key.split(".") for key in result["figures"]]
    return [(part[1], part[2]) for part in parts if len(part) == 3]


def main(argv: list[str] | None = None) -> int:
    """Run it alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    args = parser.parse_args(argv)
    result = measure(args.sizes, args.rounds)
    print(table(["finished runs", *sizes(result)], rows(result)))
    if args.json:
        write_json(args.json, result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
