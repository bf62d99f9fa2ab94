"""The same projects, run by whole sweeps: what a later start plans is what is asserted.

A driver process stands for a person's session: it starts a sweep as `argus-tasks run` does (but for
Prefect's server), runs its configs one by one, and plans the next start.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from argus_tasks.provenance.comparison import CodeComparison, CodeState, Difference
from argus_tasks.provenance.project import ExperimentMark, Project
from tests.unit.provenance.lab import Lab, Ran, wait_past_the_grain

DRIVER = """
import json, os, sys
from pathlib import Path
mode, folder, results, entry = sys.argv[1:]
os.chdir(folder)
from argus_tasks.base.errors import BadInput
from argus_tasks.experiments.experiment import experiment_from
from argus_tasks.planning.resolve import resolve
from argus_tasks.runs.ledger.catalogue import known_run
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.prepared_sweep import make_plan, prepare
from argus_tasks.session.sweep_session import new_session

CONFIGS = [{}, {"lazy": True}, {"again": True}]
real = {"warm": "process_pool", "fresh": "process_pool", "script": "process_pool"}

def request(**options):
    path = f"command:python {entry}.py" if mode == "script" else f"{entry}:main"
    return resolve(CONFIGS, experiment_from(path, Path(folder)), results_root=results, workers=1,
                   mode=real.get(mode, mode), name="ways",
                   fresh_process=True if mode == "fresh" else None, **options)

def answer(value):
    out.write(json.dumps(value) + "\\n")
    out.flush()

out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
command = json.loads(sys.stdin.readline())
if command["do"] == "run":
    with new_session(request(fresh=True)) as session:
        session.warm()
        session.check()
        runner = AttemptRunner(session)
        answer("ready")
        for line in sys.stdin:
            index = json.loads(line)
            outcome = runner.run_one(index, 1)
            run = session.claims.ours(session.plan.runs[index]).run_id
            answer({"run": run, "stack": outcome.stack})
elif command["do"] == "plan":
    run = known_run(Path(results), command["run"])
    config = json.loads(Path(run.run_dir, "config.json").read_text())
    said = {}
    for policy in ("warn", "rerun", "stop"):
        asked = request(on_code_change=policy)
        plan = make_plan(asked)
        (planned,) = [each for each in plan.runs if each.config == config]
        try:
            prepare(asked)
            refused = False
        except BadInput as error:
            refused = str(error)
        unfit = sum(not each.fits for each in plan.code_report.followed)
        said[policy] = {"unfit": unfit, "action": planned.action, "refused": refused,
                        "notes": plan.notes,
                        "run": planned.known.run_id if planned.known else None}
    earlier = plan.earlier
    found = earlier.of(config, planned.digest)
    comparison = found.code if found and found.run.run_id == run.run_id else earlier.compare(run)
    answer({"state": comparison.state.name, "policies": said, "notes": comparison.notes,
            "former": found.former_entry if found else None,
            "differences": [[each.name, each.state.name, each.before, each.after]
                            for each in comparison.differences]})
"""

SCRIPT_TAIL = """
if __name__ == "__main__":
    import json as _json, os as _os, pathlib as _pathlib
    _config = _json.loads(_pathlib.Path(_os.environ["ARGUS_CONFIG"]).read_text())
    _result = _json.dumps({"result": run(_config)})
    _pathlib.Path(_os.environ["ARGUS_RUN_DIR"], "metrics.json").write_text(_result)
"""

FUNCTION_TAIL = """
def main(ctx):
    return {"result": run(dict(ctx.config))}
"""


class SweepLab(Lab):
    """A lab whose workers are those of real sweeps."""

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == f"{self.entry}.py":
            text += SCRIPT_TAIL if self.mode == "script" else FUNCTION_TAIL
        path.write_bytes(text.encode())
        return path

    def worker(self) -> SweepWorker:  # type: ignore[override]
        for path in self.home.rglob("*.py"):
            wait_past_the_grain(path)
        worker = SweepWorker(self)
        self.workers.append(worker)  # type: ignore[arg-type]
        return worker

    def mark(self) -> ExperimentMark:
        path = self.folder / f"{self.entry.replace('.', '/')}.py"
        name = "command:python {file}" if self.mode == "script" else "main"
        return ExperimentMark.of(Project.of(self.folder), path, name)

    def driver(self, first: dict[str, Any]) -> subprocess.Popen[str]:
        words = [self.python, "-P", "-c", DRIVER, self.mode, str(self.folder)]
        process = subprocess.Popen(
            [*words, str(self.results), self.entry],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(first) + "\n")
        process.stdin.flush()
        return process

    def compare(self, ran: Ran, **settings: Any) -> CodeComparison:
        assert not settings, "asked of the comparison alone"
        process = self.driver({"do": "plan", "run": ran.begun})
        text, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        said = json.loads(text)
        state = CodeState[said["state"]]
        fits = state <= CodeState.ACCEPTED
        warn, rerun, stop = (said["policies"][each] for each in ("warn", "rerun", "stop"))
        if warn["run"] == ran.begun:
            assert warn["action"] == "reuse"
            expected = state is not CodeState.SAME or said["notes"] or said["former"]
            if expected or len(list(self.results.glob("2*_*"))) == 1:
                assert bool(warn["notes"]) == bool(expected), "said where nothing differs"
            assert rerun["action"] == ("reuse" if fits else "run")
            assert bool(stop["refused"]) == bool(stop["unfit"])
            assert fits or stop["refused"]
        differences = tuple(
            Difference(name, CodeState[kind], before, after)
            for name, kind, before, after in said["differences"]
        )
        return CodeComparison(state, differences, tuple(said["notes"]))


class SweepWorker:
    """One session of a sweep with one worker."""

    def __init__(self, lab: SweepLab) -> None:
        self._lab = lab
        self._free = {"{}": [0, 2], '{"lazy": true}': [1]}
        self._process = lab.driver({"do": "run"})
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == '"ready"\n'

    def run(self, **config: Any) -> Ran:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        index = self._free[json.dumps(config)].pop(0)
        self._process.stdin.write(f"{index}\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        folder = self._lab.results / said["run"]
        record = json.loads((folder / "run.json").read_text())
        assert record["status"] == "succeeded", said["stack"]
        result = json.loads((folder / "metrics.json").read_text())["result"]
        mark = ExperimentMark.from_record(record["experiment"])
        return Ran(result, record["manifest"], said["run"], mark)

    def close(self) -> None:
        self._process.communicate(timeout=60)
