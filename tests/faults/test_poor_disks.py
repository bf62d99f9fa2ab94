"""File systems that lack something: hard links, locks, room, or the right to write.

The first two are played by a library in front of the system's (`tests/support/poor_disk.c`): a real
file system without links (exFAT) is not on every machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.test_run_disk import fill
from tests.support.poor_disk import poor_disk
from tests.support.servers import Bench
from tests.support.sweeps import ROOT, Sweep


def counted(sweep: Sweep) -> dict[int, int]:
    """How often each config has been started, by its own marks."""
    marks = [mark.name.partition("-")[0] for mark in sweep.marks.iterdir()]
    return {x: marks.count(str(x)) for x in range(sweep.n)}


@pytest.mark.slow
def test_without_links_a_killed_sweep_goes_on_and_two_share_the_work(
    api_url: str, tmp_path: Path
) -> None:
    root = tmp_path / "sweep" / "results"
    environment = os.environ | poor_disk(tmp_path, no_links=root) | {"PREFECT_API_URL": api_url}
    sweep = Sweep(tmp_path / "sweep", environment, n=12, seconds=1.0)
    first = sweep.start()
    sweep.wait_until(lambda: sweep.started() >= 2)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    before = counted(sweep)

    again = sweep.start()
    sweep.wait_until(lambda: sweep.started() > sum(before.values()))
    text = (sweep.folder / "sweep.yaml").read_text()
    (sweep.folder / "other.yaml").write_text(text.replace("name: sweep", "name: other"))
    told = sweep.command("run", str(sweep.folder / "other.yaml"))
    assert "12 of 12 succeeded" in told
    out, err = again.communicate(timeout=240)
    assert again.returncode == 0, out + err
    assert err.count("has no hard links: claims are made without") == 1, err
    assert "Traceback" not in err
    # Only what was in flight when it was killed has been started a second time.
    times = counted(sweep)
    assert set(times.values()) <= {1, 2}
    assert {x for x, count in times.items() if count == 2} <= {x for x, n in before.items() if n}
    assert len(sweep.records()) == 12
    assert "all is whole" in sweep.command("verify", str(sweep.results), "--no-prefect")


MORTAL = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
"""Before a command of root's: the modes of files hold for it."""


def run(folder: Path, *words: str, mortal: bool = False, **environment: str) -> tuple[int, str]:
    """A command's exit code, and what it says; nowhere is a stack."""
    before = MORTAL if mortal and os.geteuid() == 0 else []
    done = subprocess.run(
        [*before, sys.executable, "-m", "argus_tasks", *words],
        cwd=folder,
        env={**_without_settings(), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done.returncode, done.stderr


def _on_server(api_url: str) -> dict[str, str]:
    login = {"PREFECT_API_AUTH_STRING": os.environ["PREFECT_API_AUTH_STRING"]}
    return {"PREFECT_API_URL": api_url, "HOME": os.environ["HOME"], **login}


def _without_settings() -> dict[str, str]:
    ours = ("XDG_", "PREFECT_", "ARGUS_", "HOME")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    file = tmp_path / "sweep.yaml"
    file.write_text("experiment: tests.support.experiments:noop\ngrid: {x: [1]}\n")
    return file


@pytest.mark.parametrize("command", ["run sweep.yaml", "server start", "server status"])
def test_a_home_that_cannot_be_made_is_one_sentence(sweep_file: Path, command: str) -> None:
    home = sweep_file.parent / "home"
    home.write_text("a file, where a folder is wanted")
    code, said = run(sweep_file.parent, *command.split(), HOME=str(home))
    assert code == 2
    assert said.splitlines()[-1].startswith(f"argus-tasks: {home}/.local")
    assert "set XDG_STATE_HOME to a folder of yours" in said


def test_a_home_without_locks_is_one_sentence(sweep_file: Path) -> None:
    folder = sweep_file.parent
    home = folder / "home"
    environment = poor_disk(folder, no_locks=home) | {"HOME": str(home)}
    code, said = run(folder, "run", "sweep.yaml", **environment)
    assert code == 2
    assert "hold.lock cannot be used: its file system has no locks; set XDG_STATE_HOME" in said
    assert not (folder / "results").exists()


def test_a_home_that_is_full_is_one_sentence(sweep_file: Path, small_root: Path) -> None:
    code, said = run(sweep_file.parent, "run", "sweep.yaml", HOME=str(small_root))
    assert code == 2
    assert "prefect-server" in said
    assert "cannot be used: No space left on device; set XDG_STATE_HOME" in said


def test_a_cache_folder_that_cannot_be_used_is_done_without(
    sweep_file: Path, make_bench: Callable[..., Bench]
) -> None:
    cache = sweep_file.parent / "cache"
    cache.write_text("a file, where a folder is wanted")
    bench = make_bench(cache)
    code, said = run(sweep_file.parent, "run", "sweep.yaml", **bench.environment)
    assert code == 0, said


def test_a_results_root_that_is_full_is_one_sentence(
    api_url: str, sweep_file: Path, small_root: Path
) -> None:
    fill(small_root / "all")
    words = ["run", "sweep.yaml", "--results-root", str(small_root)]
    code, said = run(sweep_file.parent, *words, **_on_server(api_url))
    assert code == 2
    assert said.splitlines()[-1].startswith(f"argus-tasks: {small_root}/.sweep")
    assert said.endswith("cannot be used: No space left on device.\n")


@pytest.mark.parametrize("name", ["starts.jsonl", "claims/.take-over", "claims", "."])
def test_what_others_have_closed_is_one_sentence_before_anything_runs(
    api_url: str, sweep_file: Path, name: str
) -> None:
    shared = sweep_file.parent / "results" / ".sweep"
    (shared / "claims").mkdir(parents=True)
    for file in (shared / "starts.jsonl", shared / "claims" / ".take-over"):
        file.touch()
    closed = shared / name
    closed.chmod(closed.stat().st_mode & ~0o222)
    environment = _on_server(api_url)
    code, said = run(sweep_file.parent, "run", "sweep.yaml", mortal=True, **environment)
    closed.chmod(0o755)
    assert code == 2
    assert f"{closed.parent if name == '.' else closed}" in said
    assert "cannot be used: Permission denied." in said
    assert list(shared.parent.glob("2*")) == []
