"""The plan of a search: the known trials, and an entry for each trial that is still to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from argus_tasks.base.given import given_of, unknown_in
from argus_tasks.base.ids import digest_of, job_suffix, slug
from argus_tasks.planning.earlier_runs import CodeReport
from argus_tasks.planning.present_code import PresentCode
from argus_tasks.planning.request import SweepRequest, check_keys
from argus_tasks.planning.start_order import StartOrder
from argus_tasks.planning.sweep_plan import (
    Action,
    Plan,
    PlannedRun,
    action_of,
    batch_of,
    code_label,
    earlier_runs,
    git_refusal,
)
from argus_tasks.planning.trial import Trial
from argus_tasks.runs.ledger.catalogue import KnownRun
from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from argus_tasks.runs.record.layout import FAILED, SKIPPED, SUCCEEDED
from argus_tasks.search.study import KnownTrial, Study, TrialState, study_name
from argus_tasks.spec.job_names import LONGEST_NAME, JobNamer
from argus_tasks.spec.search_section import Search
from argus_tasks.spec.search_space import SearchSpace
from argus_tasks.spec.templates import template_keys


class TrialNamer:
    """Makes planned runs of the trials of one batch."""

    def __init__(self, request: SweepRequest, batch_id: str) -> None:
        self._request = request
        self.search = search_of(request)
        self.space = SearchSpace(request.configs[0], self.search)
        self.study_name = study_name(request.name, batch_id)
        self.experiment = request.experiment
        self._ending = f"-{job_suffix(batch_id)}"
        self._namer = JobNamer(self.space.examples(), request.spec.job)
        self._numbered = "index" in template_keys(request.spec.job.id or "")

    def place(self, index: int, number: int) -> PlannedRun:
        """The planned run of a trial that has not been drawn yet."""
        name = f"trial-{number}"
        return PlannedRun(
            index,
            self._request.configs[0],
            None,
            name,
            name + self._ending,
            None,
            None,
            Action.RUN,
            trial=Trial(self.study_name, number),
        )

    def run(self, index: int, number: int, params: Mapping[str, Any]) -> PlannedRun:
        """The planned run of a trial with these values, given as the study stores them."""
        config = self.space.config(params)
        named = self._namer.render(config, number)
        tail = "" if self._numbered else f"-t{number}"
        name = slug(named.id, LONGEST_NAME - len(tail)) + tail
        identity, ignore = self.experiment.identity, self._request.spec.ignore_keys
        unsure = unknown_in(given_of(config), ignore)
        digest = None if unsure else identity and digest_of(identity, config, ignore)
        return PlannedRun(
            index,
            config,
            digest,
            name,
            name + self._ending,
            named.model,
            named.dataset,
            Action.RUN,
            trial=Trial(self.study_name, number),
        )


def search_of(request: SweepRequest) -> Search:
    """The search of a request that is known to have one."""
    assert request.search is not None, "the request is of a search"
    return request.search


def study_of(request: SweepRequest, batch_id: str, namer: TrialNamer) -> Study:
    """The study of the batch, not opened yet."""
    base = request.configs[0]
    return Study(
        namer.search,
        namer.space,
        name=namer.study_name,
        folder=SweepFolder(request.results_root, batch_id).path,
        base={key: value for key, value in base.items() if key not in request.spec.ignore_keys},
        workers=request.workers,
    )


def plan_search(request: SweepRequest) -> Plan:
    """Plan a start of a search. Raises BadInput if its study belongs to another search."""
    check_keys(0, given_of(request.configs[0]))
    search, batch = search_of(request), batch_of(request)
    namer = TrialNamer(request, batch.batch_id)
    experiment = request.experiment
    folder = SweepFolder(request.results_root, batch.batch_id).path
    trials = study_of(request, batch.batch_id, namer).known_trials() if folder.exists() else []
    present = PresentCode.of(request)
    earlier = earlier_runs(request, present)
    report = CodeReport(request.spec.on_code_change)
    runs: list[PlannedRun] = []
    plan_lines: list[dict[str, Any]] = []
    for number in range(max(search.trials, len(trials))):
        trial = trials[number] if number < len(trials) else None
        if trial is None or not namer.space.has(trial.params):
            if request.only is None:
                runs.append(namer.place(len(runs), number))
            continue
        run = namer.run(len(runs), number, trial.params)
        plan_lines.append(plan_line(run))
        if request.only is not None and run.digest not in request.only:
            continue
        before_it = earlier.of(run.config, run.digest) if earlier and run.digest else None
        found = before_it.run if before_it is not None else None
        run = _as_known(run, trial, found, batch.batch_id, again=request.only is not None)
        if before_it is not None and run.action is not Action.RUN:
            report.take(before_it)
        runs.append(run)
    reason = None
    if experiment.identity is None and not request.fresh:
        reason = f"the code of '{experiment.name}' cannot be identified, so nothing is reused"
    label = code_label(request)
    to_do = tuple(run.index for run in runs if run.action in (Action.RUN, Action.RESUME))
    return Plan(
        batch.batch_id,
        batch.known,
        batch.identity,
        batch.sha,
        runs,
        0,
        StartOrder(to_do, "given"),
        present,
        reason,
        tuple(plan_lines),
        label,
        report,
        earlier,
        git_refuses="" if label is not None else git_refusal(present),
    )


def plan_line(run: PlannedRun) -> dict[str, Any]:
    """The line of a trial in `plan.jsonl`; its index is the trial's number."""
    assert run.trial is not None, "the run is a trial"
    given = given_of(run.config)
    return {
        "index": run.trial.number,
        "digest": run.digest,
        "job_id": run.job_id,
        "config": run.config,
    } | ({"given": given} if given else {})


def state_of(found: KnownRun, batch_id: str) -> TrialState | None:
    """The state of a trial for whose config this run was found; None if it must be run.

    A failure settles the trials of its own batch only; other batches run the config again.
    """
    if found.status == SUCCEEDED:
        return TrialState.COMPLETE
    if found.status == SKIPPED:
        return TrialState.PRUNED
    ours = found.record.get("batch_id") == batch_id
    if found.status == FAILED and not found.resumable and ours:
        return TrialState.FAIL
    return None


def _as_known(
    run: PlannedRun, trial: KnownTrial, found: KnownRun | None, batch_id: str, *, again: bool
) -> PlannedRun:
    """The planned run with its action; `again` if it is to be run whatever its state."""
    state = trial.state
    if state is TrialState.RUNNING and found is not None:
        state = state_of(found, batch_id) or state
    action = action_of(found)
    if again:
        action = Action.RESUME if action is Action.RESUME else Action.RUN
    elif state is TrialState.COMPLETE or action is Action.REUSE:
        action = Action.REUSE
    elif state in (TrialState.PRUNED, TrialState.FAIL):
        action = Action.LEAVE
    return replace(run, action=action, known=found)
