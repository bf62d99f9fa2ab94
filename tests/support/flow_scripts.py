"""Flows as scripts of their own, on the embedded server of a test's state folder."""

from __future__ import annotations

import json
import sqlite3
import textwrap
from contextlib import closing
from typing import Any

from tests.support.servers import Bench

BEGIN = """
import json, logging, os, signal, sys, threading, time
from argus_tasks.server import embedded
server = embedded.hold(idle_s=1)
os.environ.update(server.environment())
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.task_runners import ThreadPoolTaskRunner
from argus_tasks.prefect_compat.event_relay import Relay

def tell(**facts):
    print(json.dumps(facts), flush=True)

@task(cache_policy=NO_CACHE, task_run_name="run-{index}")
def nothing(index): return index
"""

MIRROR = """
from datetime import UTC, datetime
import queue
from prefect.context import FlowRunContext, TaskRunContext
from argus_tasks.base.deadline import Deadline
from argus_tasks.orchestration.mirror.mirror import (
    Mirror, compare_flow_run, make_the_last_calls_short, repair_flow_run
)
from argus_tasks.orchestration.prefect_api.expected_task_runs import ExpectedRun
ledger = []

def note(index, status="COMPLETED", name="Completed"):
    run = TaskRunContext.get().task_run
    ledger.append(ExpectedRun(
        run.id, f"run-{index}", run.task_key, run.dynamic_key, status, name,
        f"results/run-{index}", run.run_count, run.start_time, datetime.now(UTC)))

@task(cache_policy=NO_CACHE, task_run_name="run-{index}", persist_result=False)
def recorded(index):
    note(index)

def run_all(number, admit=lambda submitted: None, before=lambda index: None):
    ended, running = queue.SimpleQueue(), 0
    for index in range(number):
        admit(index)
        before(index)
        recorded.submit(index).add_done_callback(ended.put)
        running += 1
        if running >= 4:
            ended.get()
            running -= 1
    while running:
        ended.get()
        running -= 1

def report_of(report):
    return {name: getattr(report, name) for name in
            ("recorded", "made", "mended", "unmirrored", "reachable", "seconds")}
"""


def script(bench: Bench, body: str, *, begin: str = "", **extra: Any) -> Any:
    """A process that runs the body after the usual beginning."""
    return bench.python(BEGIN + begin + textwrap.dedent(body), **extra)


def facts(process: Any, timeout_s: float = 120) -> dict[str, Any]:
    """What the process told, when it has ended well."""
    out, errors = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, errors
    return {key: value for line in out.splitlines() for key, value in json.loads(line).items()}


def rows(bench: Bench, query: str) -> list[tuple[Any, ...]]:
    """Read from the server's database file."""
    with closing(sqlite3.connect(bench.database())) as database:
        return database.execute(query).fetchall()
