"""Sessions run without Prefect: the same executors, files and ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from argus_tasks.admission.cpu import Rule
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.resolve import resolve
from argus_tasks.runs.ledger.summary import RunSummary
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.sweep_session import SweepSession, new_session


def request_for(
    configs: list[dict[str, Any]], experiment: Any, root: Path, **options: Any
) -> SweepRequest:
    options.setdefault("workers", 2)
    return resolve(configs, experiment, results_root=root, project="p", **options)


def run_session(session: SweepSession) -> RunSummary:
    """Every config that is to be run, with its retries, on `workers` threads."""

    def one(index: int) -> None:
        try_number = 1
        with session.admission.admitted(index):
            runner.run_one(index, try_number)
        while runner.wants_retry(index, try_number) and not session.stopping:
            try_number += 1
            session.admission.retry_delays.before(try_number)
            with session.admission.admitted(index):
                runner.run_one(index, try_number)

    session.warm()
    if session.admission.cpu is not None:  # no server is asked for its limit
        session.admission.cpu.set_rule(Rule.CONTROLLER, None, "")
    with session, ThreadPoolExecutor(session.request.workers) as threads:
        runner = AttemptRunner(session)
        list(threads.map(one, [run.index for run in session.plan.to_do]))
    return session.summary()


def run_configs(
    configs: list[dict[str, Any]], experiment: Callable[..., Any], root: Path, **options: Any
) -> RunSummary:
    return run_session(new_session(request_for(configs, experiment, root, **options)))


def records(root: Path) -> list[dict[str, Any]]:
    """Every run.json under the root, by the order of their configs."""
    found = [
        {"config": _json(path.parent / "config.json"), "dir": path.parent, **_json(path)}
        for path in root.glob("*/run.json")
    ]
    return sorted(found, key=lambda record: json.dumps(record["config"], sort_keys=True))


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
