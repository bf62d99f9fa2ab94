"""Secrets of every kind through whole sweeps: then everything that was written, sent or shown is
searched for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.argus_server import ArgusServer
from tests.support.servers import Bench

ROOT = Path(__file__).parents[2]

# What may hold which canaries, by the names of files; SECURITY.md says the same.
ALLOWED = {
    "canary-config": {"config.json", "plan.jsonl"},
    "canary-grid": {"config.json", "plan.jsonl"},
    "canary-printed": {"run.log"},
}

LAB = """
import os, subprocess, sys
from argus_tasks import SkipRun

def run(ctx):
    kind, config = ctx.config["kind"], ctx.config
    ctx.epoch(0, loss=1.0)
    ctx.log("login with password=canary-line1 as " + os.environ["LAB_TOKEN"], "WARNING")
    if kind == "url":
        raise RuntimeError("no login at https://u:canary-url1@h/x?token=canary-query1")
    if kind == "environment":
        raise RuntimeError("refused: " + os.environ["LAB_TOKEN"] + " Authorization: token canary-h")
    if kind == "config":
        raise KeyError(config["credentials"][0]["user"] + config["db"] + " " + config["api_key"])
    if kind == "argv":
        words = [sys.executable, "-c", "raise SystemExit(3)", "--token", "canary-called1"]
        subprocess.run(words, check=True)
    if kind == "skip":
        raise SkipRun("token=canary-skip1")
    if kind == "long":
        raise RuntimeError("x" * 4_997 + " " + os.environ["LAB_TOKEN"] + " " + "y" * 100_000)
    if kind == "kill" and config["mode"] == "process_pool":
        print("password=canary-printed1", flush=True)
        os.kill(os.getpid(), 9)
    return {"loss": 0.25}
"""

SWEEP = """
name: lab
experiment: lab:run
results_root: results
base:
  mode: MODE
  api_key: canary-config-key1
  credentials:
    - user: canary-config-user1
    - canary-config-item1
  db: postgresql://u:canary-config-login1@h/db
grid:
  kind: [url, environment, config, argv, skip, long, kill, well]
  login.password: [canary-grid-one1, canary-grid-two2]
execution: {mode: MODE, workers: 2}
retry: {max_attempts: 2, retry_on: [KeyError]}
metadata:
  tags: {server: "https://u:canary-tag1@h/"}
"""

START = """
from argus_tasks import sweep_flow
import sys
sys.path.insert(0, ".")
sweep_flow("sweep.yaml")
"""


class Lab:
    """A folder in a git repository, its state folder beside it, and all that was shown."""

    def __init__(self, folder: Path, bench: Bench, server: ArgusServer) -> None:
        self.folder = folder
        folder.mkdir()
        self._bench = bench
        self.server = server
        self.environment = bench.environment | {
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(bench.root / "prefect"),
            "ARGUS_OUTBOX_DIR": str(bench.root / "outbox"),
            "ARGUS_DRAIN_DEADLINE_S": "30",
            "ARGUS_URL": server.url.replace("http://", "http://me:canary-monitor1@"),
            "ARGUS_TOKEN": "em_live_canarytoken",
            "LAB_TOKEN": "canary-environment-Zz9",
        }
        self.shown: list[str] = []
        for words in (
            ["init", "-q"],
            ["remote", "add", "origin", "https://u:canary-remote1@host/x.git"],
            ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-mx"],
        ):
            subprocess.run(["git", *words], cwd=folder, check=True)

    def do(self, *words: str, code: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode in code, done.stdout + done.stderr
        self.shown += [done.stdout, done.stderr]
        return done.stdout

    def command(self, *words: str, code: tuple[int, ...] = (0,)) -> str:
        return self.do("-m", "argus_tasks", *words, code=code)

    def look_everywhere(self, *own: str) -> None:
        """No canary but where it may be; files of the names in `own` are the run's own."""
        texts = {f"shown {index}": text for index, text in enumerate(self.shown)}
        texts["monitor"] = json.dumps(self.server.rows()) + json.dumps(
            [vars(one) | {"token": ""} for one in self.server.receipts]
        )
        roots = (self.folder / "results", self.folder / "report.html", self._bench.root)
        files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
        for path in files:
            if path.is_file() and not path.is_symlink() and path.name not in own:
                texts[str(path)] = path.read_bytes().decode("utf-8", "replace") + str(path)
        found = []
        for where, text in texts.items():
            at = text.find("canary")
            while at >= 0:
                said = text[at : at + 40]
                if not any(
                    said.startswith(kind) and Path(where).name in names
                    for kind, names in ALLOWED.items()
                ):
                    found.append(f"{where}: {text[max(0, at - 80) : at + 60]!r}")
                at = text.find("canary", at + 1)
        assert not found, "\n".join(found[:20])
        assert any(name.endswith(".db") for name in texts), "Prefect's database was looked at"
        assert "job_failed" in texts["monitor"]


@pytest.fixture
def lab(tmp_path: Path, bench: Bench) -> object:
    with ArgusServer() as server:
        yield Lab(tmp_path / "lab", bench, server)


def look_at_it_in_every_way(lab: Lab) -> None:
    lab.command("report", "results", code=(0,))
    lab.command("results", "results")
    for form in ("--csv", "--json", "--markdown", "--latex"):
        lab.command("results", "results", form, "-")
    lab.command("results", "results", "--group-by", "kind,api_key")
    lab.command("status")
    lab.command("verify", "results")
    lab.command("plan", "sweep.yaml", "--all")
    lab.command("plan", "sweep.yaml", "--json")
    lab.command("outbox")
    lab.command("doctor", code=(0, 1))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["process_pool", "thread", "sequential"])
def test_no_secret_of_a_sweep_comes_out(mode: str, lab: Lab) -> None:
    (lab.folder / "lab.py").write_text(LAB)
    (lab.folder / "sweep.yaml").write_text(SWEEP.replace("MODE", mode))
    (lab.folder / "start.py").write_text(START)
    words = ("--api-token", "canary-argv1", "--password=canary-argv2", "https://u:canary-argv3@h/")
    lab.do("start.py", *words)
    records = [json.loads(path.read_text()) for path in lab.folder.glob("results/*/run.json")]
    assert len(records) == 16, "one run for each kind and each password"
    failed = {record["error_type"] for record in records if record["status"] == "failed"}
    assert failed >= {"RuntimeError", "KeyError", "CalledProcessError"}
    for path in lab.folder.glob("results/*/config.json"):
        config = json.loads(path.read_text())
        assert config["credentials"][0]["user"] == "canary-config-user1", "what it needs is there"
        assert path.stat().st_mode & 0o777 == 0o600
    for path in lab.folder.glob("results/.sweep/*/plan.jsonl"):
        assert path.stat().st_mode & 0o777 == 0o600
    meta = json.loads(next(lab.folder.glob("results/*/meta.json")).read_text())
    assert meta["started_cmd"] == "start.py --api-token *** --password=*** https://***@h/"
    if mode == "process_pool":
        look_at_it_in_every_way(lab)
    lab.look_everywhere()


SCRIPT = """
import os, sys
print("METRIC loss=0.5")
print("hello", file=sys.stderr)
if "bad" in sys.argv:
    print("login failed: password=" + sys.argv[2] + " token=canary-printed-last1", file=sys.stderr)
    raise SystemExit("https://u:canary-url1@host/ refused " + os.environ["LAB_TOKEN"])
"""

SCRIPT_SWEEP = """
name: scripts
command: python train.py --api-token canary-argv1 --password={api_key} {kind} x
results_root: results
base: {api_key: canary-config-key1}
grid: {kind: [good, bad]}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_secret_of_a_script_comes_out(lab: Lab) -> None:
    (lab.folder / "train.py").write_text(SCRIPT)
    (lab.folder / "sweep.yaml").write_text(SCRIPT_SWEEP)
    lab.command("run", "sweep.yaml", code=(1,))
    look_at_it_in_every_way(lab)
    lab.look_everywhere("run.log")  # what the script prints
    (lab.folder / "sweep.yaml").unlink()
    lab.command("rerun", "--failed", "results", code=(2,))
    assert "a secret" in lab.shown[-1]
