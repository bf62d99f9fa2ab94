"""Real processes that emit, and what must hold on the server afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

HEAD = """
import os, signal, sys, time
from argus_tasks import Reporter, emit
QUIET = dict(heartbeat=False, stop_polling=False, resource_snapshot=False)
"""


def environment(outbox: Path, url: str | None, **more: str) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("ARGUS_")}
    kept = {key: value for key, value in os.environ.items() if key.startswith("ARGUS_TEST")}
    env |= kept | {"ARGUS_OUTBOX_DIR": str(outbox), "ARGUS_TOKEN": "em_live_test"}
    env |= {"PYTHONPATH": str(ROOT), "ARGUS_TASKS_RAISE": "1", "ARGUS_LINGER_S": "0"}
    if url is not None:
        env["ARGUS_URL"] = url
    return env | more


def start(
    code: str, *, outbox: Path, url: str | None, cwd: Path | None = None, **env: str
) -> subprocess.Popen[str]:
    """Start a python that runs the code, with `Reporter`, `emit`, `QUIET` at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(code)],
        env=environment(outbox, url, **env),
        cwd=cwd or outbox.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 60.0) -> tuple[int, str, str]:
    """Wait for it; its exit code, what it printed and what it said on stderr."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err


def run(
    code: str,
    *,
    outbox: Path,
    url: str | None,
    timeout_s: float = 60.0,
    cwd: Path | None = None,
    **env: str,
) -> tuple[int, str, str]:
    """`start` and `finish`."""
    return finish(start(code, outbox=outbox, url=url, cwd=cwd, **env), timeout_s)


def argus_tasks(
    *words: str, outbox: Path, url: str | None = None, timeout_s: float = 90.0, **env: str
) -> tuple[int, str, str]:
    """The command line, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "argus_tasks", *words],
        env=environment(outbox, url, **env),
        cwd=outbox.parent,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def send_rest(outbox: Path, url: str) -> None:
    """What the dead left is sent."""
    code, out, err = argus_tasks("outbox", "send", outbox=outbox, url=url)
    assert code == 0, out + err


ENDS = ("job_done", "job_failed")


def epochs_of(rows: Iterable[dict[str, Any]], job: str | None = None) -> list[int]:
    """The epochs of a job (its name without the last six digits), in the order stored."""
    return [
        row["data"]["epoch"]
        for row in rows
        if row["event_type"] == "job_epoch" and (job is None or row["job_id"][:-7] == job)
    ]


def assert_once_in_order(rows: list[dict[str, Any]], jobs: dict[str, int]) -> None:
    """Every event once, each job's epochs complete and in order, between its start and its end."""
    ids = [row["event_id"] for row in rows]
    assert len(ids) == len(set(ids))
    for job, count in jobs.items():
        mine = [row for row in rows if (row["job_id"] or "")[:-7] == job]
        kinds = [row["event_type"] for row in mine]
        assert epochs_of(mine) == list(range(count)), f"{job}: {epochs_of(mine)[:20]}..."
        assert kinds[0] == "job_start"
        assert kinds.count("job_start") == 1
        assert kinds[-1] in ENDS, f"{job} has no end: {kinds[-3:]}"
        assert sum(kind in ENDS for kind in kinds) == 1


def assert_accounts_meet(outbox: Path) -> list[Any]:
    """emitted = delivered + waiting + set aside + dropped, for every batch on this host."""
    from argus_tasks.delivery.outbox_counts import accounts
    from argus_tasks.delivery.outbox_folder import outboxes

    found = [account for box in outboxes(outbox) for account in accounts(box)]
    for account in found:
        assert account.missing == 0, account
    return found
