"""What a config's attempt is given: its folder and names, its metadata, its retry policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from argus_tasks.admission.gate import Ticket
from argus_tasks.base.processes import this_process
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.sweep_plan import Action, PlannedRun
from argus_tasks.reporting.worker_reporter import JoinContext
from argus_tasks.runs.context.trial_reports import TrialLink
from argus_tasks.runs.record.metadata import RunMetadata, for_run
from argus_tasks.runs.record.run_record import RunKey
from argus_tasks.session.config_claims import Holding
from argus_tasks.workers.attempts.messages import Assignment


class Assigner:
    """Makes the assignments of one session.

    Attributes:
        meta: what holds for every run; set before the first assignment.
        keys: which run each config has become, by its index.
        forgiven: the configs of which one try does not count.
        link_of: how a run talks with the search that it is a trial of; None where it is none.
    """

    def __init__(self, request: SweepRequest, batch_id: str, holding: Holding) -> None:
        self._request = request
        self._batch_id = batch_id
        self._holding = holding
        self._owner = this_process()
        self.meta = RunMetadata()
        self.keys: dict[int, RunKey] = {}
        self.forgiven: set[int] = set()
        self.link_of: Callable[[PlannedRun], TrialLink | None] = lambda _: None

    def assignment(
        self,
        run: PlannedRun,
        try_number: int,
        join: JoinContext | None = None,
        ticket: Ticket | None = None,
    ) -> Assignment:
        """The attempt of a config that is ours; `try_number` counts this session's, from 1, and
        `ticket` is what it holds of the gate."""
        resumed = run.known if run.action is Action.RESUME else None
        before = resumed.attempt if resumed else 0
        meta = for_run(self.meta, run.config, before + try_number)
        if run.known is not None and resumed is None:
            meta.parent_run_id = meta.parent_run_id or run.known.run_id
        elif resumed is not None:
            meta.parent_run_id = meta.parent_run_id or resumed.record.get("parent_run_id")
        if ticket is not None:
            meta.extras = {**(meta.extras or {}), **ticket.facts}
        if run.trial is not None:
            meta.extras = {**(meta.extras or {}), **run.trial.labels}
        policy = self._request.retry
        most = max(1, policy.max_attempts) + (run.index in self.forgiven)
        return Assignment(
            self._key(run),
            run.config,
            meta,
            replace(policy, max_attempts=before + most),
            resumed is not None and try_number == 1,
            join=join,
            claim=self._holding.claim(run),
            environment=ticket.environment if ticket is not None else {},
            alone=ticket is not None and ticket.alone,
            trial=self.link_of(run),
        )

    def forgives(self, index: int, cause: str | None) -> bool:
        """True where an attempt that has failed so is tried again and does not count: once."""
        if index in self.forgiven or not self._request.retry.allows_free_retry(cause):
            return False
        self.forgiven.add(index)
        return True

    def _key(self, run: PlannedRun) -> RunKey:
        key = self.keys.get(run.index)
        if key is None:
            assert run.run_id is not None, "a config is claimed before it is run"
            folder = str(self._request.results_root / run.run_id)
            key = RunKey(run.run_id, folder, run.job_id, self._batch_id, run.digest, self._owner)
            self.keys[run.index] = key
        return key
