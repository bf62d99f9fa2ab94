"""What a start decides to do with each config, and which batch it belongs to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.ids import derive_batch_id
from argus_tasks.base.processes import this_process
from argus_tasks.planning.sweep_plan import Action, action_of, batch_of
from argus_tasks.runs.ledger.catalogue import KnownRun
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import new_session
from tests.support import experiments
from tests.support.sessions import request_for, run_session


def known(status: str, *, resumable: bool = False, **record: Any) -> KnownRun:
    return KnownRun("run-1", "/run-1", status, "d", 1, resumable, record)


def ended_process() -> dict[str, Any]:
    """The identity of a process that is no more."""
    code = (
        "import json; from argus_tasks.base.processes import *; print(json.dumps(this_process()))"
    )
    return dict(json.loads(subprocess.check_output([sys.executable, "-c", code])))


@pytest.mark.parametrize(
    ("found", "action"),
    [
        (None, Action.RUN),
        (known("succeeded"), Action.REUSE),
        (known("succeeded", resumable=True), Action.REUSE),
        (known("skipped"), Action.LEAVE),
        (known("skipped", cause="pruned"), Action.RUN),
        (known("failed"), Action.RUN),
        (known("failed", resumable=True), Action.RESUME),
        (known("running"), Action.RESUME),
    ],
)
def test_what_the_newest_run_asks_for(found: KnownRun | None, action: Action) -> None:
    assert action_of(found) is action


def test_a_running_one_is_taken_up_only_where_its_owner_is_dead() -> None:
    assert action_of(known("running", owner=ended_process())) is Action.RESUME
    assert action_of(known("running", owner=this_process())) is Action.RUN, "it is not ours"


def test_a_fresh_start_in_a_repository_is_a_batch_of_its_own(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    root = tmp_path / "results"
    derived = derive_batch_id("p", "s", head.stdout.strip())
    first = batch_of(request_for([{}], experiments.noop, root, name="s"))
    assert (first.batch_id, first.known) == (derived, False)
    anew = request_for([{}], experiments.noop, root, name="s", fresh=True)
    assert len({derived, batch_of(anew).batch_id, batch_of(anew).batch_id}) == 3


def test_a_job_keeps_the_id_that_it_had_whatever_is_added(results_root: Path) -> None:
    def plan_of(*configs: dict[str, Any]) -> Any:
        return request_for(list(configs), experiments.noop, results_root, name="s")

    # With the third, z varies: made anew, the names of the others would say it.
    one, two, three = {"x": 1, "z": 0}, {"x": 2, "z": 0}, {"x": 1, "z": 5}
    first = new_session(plan_of(one, two))
    ids = {run.config["x"]: run.job_id for run in first.plan.runs}
    run_session(first)
    again = make_plan(plan_of(three, two, one))
    assert again.batch_id == first.plan.batch_id
    kept = {run.config["x"]: run.job_id for run in again.runs if run.config != three}
    assert kept == ids
    (added,) = [run for run in again.runs if run.config == three]
    assert added.job_id not in ids.values()
