"""Every mode of a sweep, ended in every way, again and again; and what must hold in the end.

    python -m tests.support.torture_modes --kills 40 --seed 1 [--modes thread,dask] [--frozen-s 20]

What has run is counted by marks that the experiment itself makes, what Prefect's server holds is
read from its database, what the monitor was told from what it stored.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from argus_tasks.runs.ledger.claims import read_claims
from argus_tasks.runs.ledger.verification import verify
from tests.argus_server import ArgusServer
from tests.support.monitor_rows import assert_reported_well
from tests.support.processes import heed_signals, processes_with
from tests.support.sessions import records
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("torture_script.py")
WORKERS = 2
LIMIT_S = 180.0
# What a mode needs in its sweep file.
MODES: dict[str, dict[str, Any]] = {
    "process_pool": {},
    "dynamic": {"execution": {"cpu_threshold": 100}},
    "dask": {},
    "thread": {},
    "sequential": {},
    "scripts": {"mode": "process_pool"},
    "search": {"mode": "process_pool"},
}
# After these the sweep is over.
ENDS = {
    "parent": signal.SIGKILL,
    "group": signal.SIGKILL,
    "term": signal.SIGTERM,
    "int": signal.SIGINT,
    "hup": signal.SIGHUP,
}
# After these it goes on.
COSTS = ("keeper", "worker", "server", "frozen sweep", "frozen server")
NO_KEEPER = ("thread", "sequential")
OPEN = (
    "SELECT 'flow run', name, state_name FROM flow_run WHERE end_time IS NULL"
    " UNION ALL SELECT 'task run', name, state_name FROM task_run WHERE state_type NOT IN"
    " ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED')"
)


def acts(mode: str, count: int, dice: random.Random) -> list[str]:
    """So many, each kind once before any comes again."""
    kinds = [*ENDS, *COSTS]
    if mode in NO_KEEPER:
        kinds = [kind for kind in kinds if kind not in ("keeper", "worker")]
    found: list[str] = []
    while len(found) < count:
        found += dice.sample(kinds, len(kinds))
    return found[:count]


class ModeTorture:
    """One mode, one results root, one monitor; a Prefect server that the sweeps bring along."""

    def __init__(
        self, folder: Path, mode: str, kills: int, seed: int, *, cache: Path, frozen_s: float
    ) -> None:
        folder.mkdir(parents=True)
        self.mode, self.kills, self.frozen_s = mode, kills, frozen_s
        self.dice = random.Random(f"{seed} {mode}")
        self.folder, self.results, self.marks = folder, folder / "results", folder / "marks"
        self.marks.mkdir()
        self.configs = 4 + 4 * kills
        self.monitor = ArgusServer().start()
        self.mark = f"ARGUS_TORTURE={folder}"
        name, _, value = self.mark.partition("=")
        self.environment = {
            key: text
            for key, text in os.environ.items()
            if not key.startswith(("PREFECT_", "ARGUS_", "XDG_"))
        } | {
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(cache),
            "ARGUS_URL": self.monitor.url,
            "ARGUS_OUTBOX_DIR": str(folder / "outbox"),
            "PREFECT_LOGGING_LEVEL": "WARNING",
            name: value,
        }
        self.file = folder / "sweep.json"
        self.file.write_text(json.dumps(self._sweep()))
        self.said: list[str] = []
        self.extra: Counter[str] = Counter()

    def _sweep(self) -> dict[str, Any]:
        more = dict(MODES[self.mode])
        execution = {"mode": more.pop("mode", self.mode), "workers": WORKERS, "stop_grace_s": 1}
        execution |= more.pop("execution", {})
        sweep: dict[str, Any] = {
            "name": f"tortured-{self.mode.replace('_', '-')}",
            "project": "p",
            "experiment": "tests.support.experiments:marked_at_both_ends",
            "results_root": str(self.results),
            "base": {"marks": str(self.marks)},
            "execution": execution,
        }
        if self.mode == "scripts":
            del sweep["experiment"]
            sweep["command"] = f"{sys.executable} {SCRIPT} {{marks}} {{x}}"
        if self.mode == "search":
            space = {"x": {"uniform": [0, 1]}}
            sweep["search"] = {"sampler": "random", "n_trials": self.configs, "metric": "loss"}
            sweep["search"] |= {"direction": "min", "space": space}
            # A search takes a failed trial for an answer: it asks for another instead.
            sweep["retry"] = {"max_attempts": 3, "retry_on": ["signal SIGKILL"]}
        else:
            sweep["grid"] = {"x": list(range(self.configs))}
        return sweep

    # --- what is done to it ---

    def run(self) -> None:
        """All of the kills, then the end, and all that must hold then. Errors: AssertionError."""
        try:
            for act in acts(self.mode, self.kills, self.dice):
                self._session(act)
            self._last()
        except BaseException:
            self._end_all()
            raise
        finally:
            self.monitor.close()

    def _session(self, act: str) -> None:
        before, done_before = self.begun(), set(self.succeeded())
        sweep = self._start()
        wanted = before.total() + self.dice.randrange(1, 4)
        self._await(sweep, lambda: self.begun().total() >= wanted)
        hold = self.marks / "hold"  # else all is done before the next kill
        if act in COSTS or self.dice.random() < 0.5:
            hold.touch()
        time.sleep(self.dice.random() * 0.4)
        told = act
        if act in COSTS:
            self._cost(act, sweep)
            hold.unlink()
            wanted = self.begun().total() + 2
            self._await(sweep, lambda: self.begun().total() >= wanted)
            last = self.dice.choice(list(ENDS))
            told = f"{act}, then {last}"
        else:
            last = act
        self._finish(last, sweep)
        hold.unlink(missing_ok=True)
        self._judge(told, before, done_before, acts=1 + (act in COSTS))

    def _finish(self, how: str, sweep: subprocess.Popen[str]) -> None:
        sign = ENDS[how]
        with suppress(ProcessLookupError):  # it has come to its end by itself
            if how in ("parent", "term"):
                os.kill(sweep.pid, sign)
            else:
                os.killpg(sweep.pid, sign)
        began = time.monotonic()
        out, _ = sweep.communicate(timeout=LIMIT_S)
        took_s = time.monotonic() - began
        self.said.append(f"{how}: exit {sweep.returncode} after {took_s:.1f} s")
        codes = {-sign, 0} if sign == signal.SIGKILL else {128 + sign, 0}
        assert sweep.returncode in codes, (how, sweep.returncode, out)
        assert "Traceback" not in out, out
        wait_for(lambda: not self.processes(), 60)

    def _cost(self, act: str, sweep: subprocess.Popen[str]) -> None:
        if act.startswith("frozen"):
            target = sweep.pid if act == "frozen sweep" else self.server()
            os.kill(target, signal.SIGSTOP)
            time.sleep(self.frozen_s)
            os.kill(target, signal.SIGCONT)
            return
        find = {"keeper": self._keeper, "worker": self._worker, "server": self.server}[act]
        deadline = time.monotonic() + 30
        while True:  # what was found may have ended meanwhile
            with suppress(ProcessLookupError, LookupError):
                os.kill(find(), signal.SIGKILL)
                return
            assert time.monotonic() < deadline, f"no {act} to kill"
            time.sleep(0.02)

    def _judge(self, act: str, before: Counter[str], done: set[str], *, acts: int) -> None:
        """No success runs again, and no more than was in flight has to."""
        now, ended = self.begun(), set(self.succeeded())
        assert done <= ended, f"{act}: a success is gone"
        again = {x for x in done if now[x] > before[x]}
        assert not again, f"{act}: {again} had succeeded, and ran again"
        cost = {x: now[x] - before[x] - (x in ended - done) for x in now if x not in done}
        assert sum(cost.values()) <= acts * WORKERS, f"{act}: more than was in flight: {cost}"
        self.extra.update(cost)
        self.said.append(f"{act}: {len(ended)} done, {sum(cost.values())} to run again")
        findings = verify(self.results).findings
        assert findings == [], (act, findings)

    def _last(self) -> None:
        sweep = self._start()
        out, _ = sweep.communicate(timeout=2 * LIMIT_S)
        assert sweep.returncode == 0, out
        began, done = self.begun(), Counter(self.succeeded())
        assert len(done) == self.configs, "every config has succeeded"
        assert set(done.values()) == {1}, f"one success a config: {done}"
        assert began == Counter({x: 1 + self.extra[x] for x in done}), (
            "each ran once, but for those"
        )
        assert read_claims(self.results) == []
        self.command("outbox", "send")
        assert "all is whole" in self.command("verify", str(self.results), "--prefect")
        self._assert_prefect()
        self._assert_monitor()
        wait_for(lambda: not self.processes(servers=True), 150)

    def _assert_prefect(self) -> None:
        """Every config is Completed, once, in the flow run of the session where it succeeded."""
        assert self.rows(OPEN) == []
        shown = "SELECT name FROM task_run WHERE state_type = 'COMPLETED'"
        counts = Counter(name for (name,) in self.rows(shown))
        assert counts.total() == self.configs, counts
        assert set(counts.values()) == {1}, counts

    def _assert_monitor(self) -> None:
        ends: Counter[str] = Counter()
        for batch_id in {row["batch_id"] for row in self.monitor.rows()}:
            last = assert_reported_well(self.monitor, batch_id)
            ends.update(row["event_type"] for row in last.values())
        assert ends == {"job_done": self.configs}, ends

    # --- what there is ---

    def begun(self) -> Counter[str]:
        """How often each config's experiment was begun."""
        return Counter(path.name.split()[0] for path in self.marks.glob("* begun"))

    def succeeded(self) -> list[str]:
        """The configs that have, by their folders."""
        if not self.results.exists():
            return []
        found = records(self.results)
        return [str(r["config"]["x"]) for r in found if r["status"] == "succeeded"]

    def processes(self, *, servers: bool = False) -> dict[int, str]:
        """All that carries this torture's mark; its server and the sender of events only if asked
        for: they go on for a while."""
        found = processes_with(self.mark)
        return {
            pid: line
            for pid, line in found.items()
            if servers or not ("server.host" in line or "outbox" in line)
        }

    def server(self) -> int:
        """The embedded server's process. Errors: LookupError."""
        for pid, line in processes_with(self.mark).items():
            if "server.host" in line and "/bin/sh" not in line:
                return pid
        raise LookupError

    def _keeper(self) -> int:
        lines = processes_with(self.mark)
        keepers = [pid for pid, line in lines.items() if "isolation.keeper import main" in line]
        parents = {_parent(pid) for pid in keepers}
        above = [pid for pid in keepers if pid in parents]  # the rest are workers: forks of it
        if not above:
            raise LookupError
        return self.dice.choice(above)

    def _worker(self) -> int:
        """The process of a config that has begun and not ended. Errors: LookupError."""
        for path in self.marks.glob("* begun"):
            if not path.with_name(path.name.replace("begun", "done")).exists():
                with suppress(ValueError):
                    pid = int(path.read_text())
                    if pid in self.processes():
                        return pid
        raise LookupError

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read from the embedded server's database file."""
        (path,) = (self.folder / "state").glob("argus-tasks/prefect-server/*/home/prefect-*.db")
        with closing(sqlite3.connect(path, timeout=20)) as database:
            return database.execute(query).fetchall()

    def command(self, *words: str) -> str:
        """What another command prints; it must end well."""
        done = subprocess.run(
            [sys.executable, "-m", "argus_tasks", *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "argus_tasks", "run", str(self.file)],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=heed_signals,
        )

    def _await(self, sweep: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition() and sweep.poll() is None:
            assert time.monotonic() < deadline, "the sweep does not get on"
            time.sleep(0.01)
        assert not sweep.poll(), sweep.communicate()[0]

    def _end_all(self) -> None:
        for pid in self.processes(servers=True):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def main() -> None:
    """By hand: all modes, one after the other; exit code 1 where anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="over all modes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--frozen-s", type=float, default=20.0)
    given = parser.parse_args()
    modes = given.modes.split(",")
    root = Path(tempfile.mkdtemp(prefix="torture-"))
    wrong = 0
    for index, mode in enumerate(modes):
        kills = given.kills // len(modes) + (index < given.kills % len(modes))
        torture = ModeTorture(
            root / mode, mode, kills, given.seed, cache=root / "cache", frozen_s=given.frozen_s
        )
        began = time.monotonic()
        try:
            torture.run()
            said = "all holds"
        except Exception as error:
            wrong += 1
            said = f"WRONG: {type(error).__name__}: {error}"
        for line in torture.said:
            print(f"  {line}")
        print(f"{mode}: {kills} kills in {time.monotonic() - began:.0f} s: {said}", flush=True)
    print(f"{wrong} of {len(modes)} modes are wrong; all is in {root}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
