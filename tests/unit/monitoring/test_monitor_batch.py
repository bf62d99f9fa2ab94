"""As which batch a session is told of, from what stands on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from argus_tasks.monitoring.monitor_batch import Telling, telling_of
from argus_tasks.monitoring.orphaned_jobs import open_jobs
from argus_tasks.runs.context.run_context import RunContext
from argus_tasks.runs.ledger.monitor_journal import JobEnd, MonitorJournal
from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from argus_tasks.session.start_plan import make_plan
from argus_tasks.session.sweep_session import SweepSession
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
        session = SweepSession(request)
        with session:
            self.session = session.session_id
            for run in session.plan.to_do:
                session.run_one(run.index, 1)
        return session

    def telling(self, *xs: int) -> Telling | None:
        request = request_for(
            [{"x": x} for x in xs], experiment, self.root, mode="thread", name="n"
        )
        plan = make_plan(request)
        return telling_of(plan, SweepFolder(self.root, plan.batch_id))


@pytest.fixture
def root(results_root: Path) -> Root:
    return Root(results_root)


def told_all(session: SweepSession, session_id: str, *, but: int | None = None) -> MonitorJournal:
    """As a monitor's file has it after this session; `but`: the end of this index is missing."""
    file = MonitorJournal(session.folder.path)
    file.opened(session.plan.batch_id, session_id)
    for run in session.plan.to_do:
        outcome = session.outcome_of(run.index)
        assert outcome is not None
        if run.index != but:
            run_dir = session.run_dir(run.index)
            assert run_dir is not None
            failed = outcome.ending.status == "failed"
            file.ended(Path(run_dir).name, JobEnd(run.name, 1, failed=failed))
    return file


def test_a_first_session(root: Root) -> None:
    telling = root.telling(1, 2)
    assert telling is not None
    assert (telling.n_total, telling.labels, telling.ended) == (2, {"sweep": "n"}, ())


def test_nothing_was_told_and_there_is_nothing_to_do(root: Root) -> None:
    root.run(1, 2)
    assert root.telling(1, 2) is None
    telling = root.telling(1, 2, 3)
    assert telling is not None
    assert (telling.n_total, telling.labels["reused"]) == (1, 2)


def test_a_failed_batch_goes_on(root: Root) -> None:
    session = root.run(1, 2, -1)
    told_all(session, root.session).closed(session.plan.batch_id, "failed")
    telling = root.telling(1, 2, -1, 4)
    assert telling is not None
    assert telling.batch_id == session.plan.batch_id
    assert telling.n_total == 4
    assert [end.failed for end in telling.ended] == [False, False]
    assert "reused" not in telling.labels
    assert not telling.lost


def test_a_done_batch_is_followed_by_the_next(root: Root) -> None:
    session = root.run(1, 2)
    first = session.plan.batch_id
    file = told_all(session, root.session)
    file.closed(first, "done")
    assert root.telling(1, 2) is None
    telling = root.telling(1, 2, 3)
    assert telling is not None
    assert telling.batch_id == f"{first}.2"
    assert (telling.n_total, telling.labels) == (
        1,
        {"sweep": "n", "continues": first, "reused": 2},
    )
    file.opened(f"{first}.2", "later")
    file.closed(f"{first}.2", "done")
    telling = root.telling(1, 2, 3)
    assert telling is not None
    assert telling.batch_id == f"{first}.3"


def test_an_end_that_was_not_told(root: Root) -> None:
    session = root.run(1, 2)
    file = told_all(session, root.session, but=1)
    lost = open_jobs(session.folder, file.read())
    assert [(job.name, job.attempt) for job in lost.values()] == [(session.plan.runs[1].name, 1)]
    telling = root.telling(1, 2)
    assert telling is not None
    assert telling.batch_id == session.plan.batch_id
    assert (telling.n_total, list(telling.lost)) == (2, list(lost))


def test_sessions_without_a_monitor_leave_nothing_to_tell(root: Root) -> None:
    session = root.run(1, 2)
    MonitorJournal(session.folder.path).opened(session.plan.batch_id, "another session")
    telling = root.telling(1, 2)
    assert telling is not None
    assert not telling.lost


def test_a_torn_or_missing_file_is_nothing_told(root: Root) -> None:
    session = root.run(1)
    assert MonitorJournal(session.folder.path).read().batch_id is None
    told_all(session, root.session).close()
    path = session.folder.path / "monitor.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    told = MonitorJournal(session.folder.path).read()
    assert told.batch_id == session.plan.batch_id
    assert not told.ends
