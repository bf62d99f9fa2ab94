"""The batch that a session reports to, from what is on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from argus_tasks.monitoring.monitor_batch import MonitorBatch, monitor_batch_for
from argus_tasks.monitoring.orphaned_jobs import open_jobs
from argus_tasks.runs.context.run_context import RunContext
from argus_tasks.runs.ledger.monitor_journal import JobEnd, MonitorJournal
from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support.sessions import request_for


def experiment(ctx: RunContext) -> dict[str, Any]:
    if ctx.config["x"] < 0:
        raise ValueError("below zero")
    return {"y": ctx.config["x"]}


class Root:
    """A results root with a sweep that runs without Prefect, and a hand-written monitor file."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *xs: int) -> SweepSession:
        request = request_for(
            [{"x": x} for x in xs], experiment, self.root, mode="thread", name="n"
        )
        session = new_session(request)
        with session:
            self.session = session.session_id
            for run in session.plan.to_do:
                AttemptRunner(session).run_one(run.index, 1)
        return session

    def batch(self, *xs: int) -> MonitorBatch | None:
        request = request_for(
            [{"x": x} for x in xs], experiment, self.root, mode="thread", name="n"
        )
        plan = make_plan(request)
        return monitor_batch_for(plan, SweepFolder(self.root, plan.batch_id))


@pytest.fixture
def root(results_root: Path) -> Root:
    return Root(results_root)


def report_all(session: SweepSession, session_id: str, *, but: int | None = None) -> MonitorJournal:
    """As a monitor's file has it after this session; `but`: the end of this index is missing."""
    file = MonitorJournal(session.folder.path)
    file.opened(session.plan.batch_id, session_id)
    for run in session.plan.to_do:
        outcome = session.results.outcomes.get(run.index)
        assert outcome is not None
        if run.index != but:
            run_dir = session.results.run_dir(run.index)
            assert run_dir is not None
            failed = outcome.ending.status == "failed"
            file.ended(Path(run_dir).name, JobEnd(run.name, 1, failed=failed))
    return file


def test_a_first_session(root: Root) -> None:
    batch = root.batch(1, 2)
    assert batch is not None
    assert (batch.n_total, batch.labels, batch.ended) == (2, {"sweep": "n"}, ())


def test_nothing_was_reported_and_there_is_nothing_to_do(root: Root) -> None:
    root.run(1, 2)
    assert root.batch(1, 2) is None
    batch = root.batch(1, 2, 3)
    assert batch is not None
    assert (batch.n_total, batch.labels["reused"]) == (1, 2)


def test_a_failed_batch_goes_on(root: Root) -> None:
    session = root.run(1, 2, -1)
    report_all(session, root.session).closed(session.plan.batch_id, "failed")
    batch = root.batch(1, 2, -1, 4)
    assert batch is not None
    assert batch.batch_id == session.plan.batch_id
    assert batch.n_total == 4
    assert [end.failed for end in batch.ended] == [False, False]
    assert "reused" not in batch.labels
    assert not batch.orphaned


def test_a_done_batch_is_followed_by_the_next(root: Root) -> None:
    session = root.run(1, 2)
    first = session.plan.batch_id
    file = report_all(session, root.session)
    file.closed(first, "done")
    assert root.batch(1, 2) is None
    batch = root.batch(1, 2, 3)
    assert batch is not None
    assert batch.batch_id == f"{first}.2"
    assert (batch.n_total, batch.labels) == (
        1,
        {"sweep": "n", "continues": first, "reused": 2},
    )
    file.opened(f"{first}.2", "later")
    file.closed(f"{first}.2", "done")
    batch = root.batch(1, 2, 3)
    assert batch is not None
    assert batch.batch_id == f"{first}.3"


def test_an_end_that_was_not_reported(root: Root) -> None:
    session = root.run(1, 2)
    file = report_all(session, root.session, but=1)
    orphaned = open_jobs(session.folder, file.read())
    assert [(job.name, job.attempt) for job in orphaned.values()] == [
        (session.plan.runs[1].name, 1)
    ]
    batch = root.batch(1, 2)
    assert batch is not None
    assert batch.batch_id == session.plan.batch_id
    assert (batch.n_total, list(batch.orphaned)) == (2, list(orphaned))


def test_sessions_without_a_monitor_leave_nothing_to_tell(root: Root) -> None:
    session = root.run(1, 2)
    MonitorJournal(session.folder.path).opened(session.plan.batch_id, "another session")
    batch = root.batch(1, 2)
    assert batch is not None
    assert not batch.orphaned


def test_a_torn_or_missing_file_is_nothing_reported(root: Root) -> None:
    session = root.run(1)
    assert MonitorJournal(session.folder.path).read().batch_id is None
    report_all(session, root.session).close()
    path = session.folder.path / "monitor.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    known = MonitorJournal(session.folder.path).read()
    assert known.batch_id == session.plan.batch_id
    assert not known.ends
