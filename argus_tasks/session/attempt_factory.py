"""What a config's attempt is given: its folder and names, its metadata, its retry policy."""

from __future__ import annotations

from dataclasses import replace

from argus_tasks.admission.gate import Ticket
from argus_tasks.base.processes import this_process
from argus_tasks.planning.sweep_plan import Action, PlannedRun
from argus_tasks.reporting.worker_reporter import JoinContext
from argus_tasks.runs.record.metadata import for_run
from argus_tasks.runs.record.run_record import RunKey
from argus_tasks.session.sweep_session import SweepSession
from argus_tasks.workers.attempts.messages import Assignment


class AttemptFactory:
    """Makes the assignments of a session that is open."""

    def __init__(self, session: SweepSession) -> None:
        self._request = session.request
        self._batch_id = session.plan.batch_id
        self._meta = session.meta
        self._claims = session.claims
        self._trials = session.trials
        self._results = session.results
        self._owner = this_process()
        mark = session.request.experiment.mark
        self._experiment = mark.to_record() if mark is not None else None

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
        meta = for_run(self._meta, run.config, before + try_number)
        if run.known is not None and resumed is None:
            meta.parent_run_id = meta.parent_run_id or run.known.run_id
        elif resumed is not None:
            meta.parent_run_id = meta.parent_run_id or resumed.record.get("parent_run_id")
        if ticket is not None:
            meta.extras = {**(meta.extras or {}), **ticket.facts}
        if run.trial is not None:
            meta.extras = {**(meta.extras or {}), **run.trial.labels}
        policy = self._request.retry
        most = max(1, policy.max_attempts) + (run.index in self._results.forgiven)
        return Assignment(
            self._key(run),
            run.config,
            meta,
            replace(policy, max_attempts=before + most),
            resumed is not None and try_number == 1,
            join=join,
            claim=self._claims.claim(run),
            environment=ticket.environment if ticket is not None else {},
            alone=ticket is not None and ticket.alone,
            trial=self._trials.link(run),
        )

    def _key(self, run: PlannedRun) -> RunKey:
        key = self._results.keys.get(run.index)
        if key is None:
            assert run.run_id is not None, "a config is claimed before it is run"
            folder = str(self._request.results_root / run.run_id)
            key = RunKey(
                run.run_id,
                folder,
                run.job_id,
                self._batch_id,
                run.digest,
                self._owner,
                self._experiment,
            )
            self._results.keys[run.index] = key
        return key
