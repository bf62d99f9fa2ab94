"""A session's trials: each is drawn when a worker is free, and its end is given to the study.

After a crash the study may lack ends that the run folders have: such a trial gets its end from
there, or is taken up (`search.search_plan`).
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import MutableSequence
from dataclasses import replace
from typing import cast

from argus_tasks.base.files import read_json
from argus_tasks.base.nested import reach
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.sweep_plan import Action, Plan, PlannedRun, action_of
from argus_tasks.runs.context.trial_reports import ReportReader, TrialLink
from argus_tasks.runs.ledger.catalogue import KnownRun, known_run
from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from argus_tasks.runs.record.layout import METRICS_JSON, RUNNING
from argus_tasks.search.pruning import Pruning
from argus_tasks.search.search_plan import TrialNamer, plan_line, state_of, study_of
from argus_tasks.search.study import TrialState
from argus_tasks.session.config_claims import ConfigClaims
from argus_tasks.workers.attempts.messages import Outcome

log = logging.getLogger("argus_tasks")


class Trials:
    """The trials of a sweep that is no search: configs are as planned, and nothing is drawn."""

    def open(self, folder: SweepFolder) -> None:
        """The session begins."""

    def close(self) -> None:
        """The session has ended."""

    def asked(self, run: PlannedRun) -> PlannedRun | None:
        """The config as it is to be run; None where it needs no run of its own now."""
        return run

    def link(self, run: PlannedRun) -> TrialLink | None:  # noqa: ARG002 - a Trials'
        """What the run needs to talk with the search."""
        return None

    def started(self, run: PlannedRun, run_dir: str) -> None:
        """An attempt begins."""

    def ended(self, run: PlannedRun, outcome: Outcome) -> None:
        """A config has ended for good."""

    def settled(self, run: PlannedRun, known: KnownRun) -> None:
        """Another sweep has settled a config."""


class SearchTrials(Trials):
    """The trials of a search, drawn from its Optuna study; safe to use from many threads."""

    def __init__(self, request: SweepRequest, plan: Plan, claims: ConfigClaims) -> None:
        self._request = request
        self._plan = plan
        self._claims = claims
        self._namer = TrialNamer(request, plan.batch_id)
        self._study = study_of(request, plan.batch_id, self._namer)
        folder = SweepFolder(request.results_root, plan.batch_id)
        self._pruning = Pruning(
            self._study, folder.path, prunes=self._namer.search.pruner != "none"
        )
        self._folder = folder
        self._asked = {line["index"] for line in plan.plan_lines}
        self._lock = threading.RLock()
        self._placed: dict[int, PlannedRun | None] = {}
        self._running: set[str] = set()
        self._over: dict[str, KnownRun] = {}
        self._twins: dict[str, list[PlannedRun]] = {}

    def open(self, folder: SweepFolder) -> None:
        """Open the study, and give it the ends that the last session could not."""
        self._folder = folder
        self._study.open()
        to_do = set(self._plan.order.indexes)
        for run in self._plan.runs:
            if run.index not in to_do and run.known is not None:
                self._tell(run, run.known)
        self._pruning.open()

    def close(self) -> None:
        """Close the study; trials that have not ended stay open in it."""
        self._pruning.close()
        self._study.close()

    def asked(self, run: PlannedRun) -> PlannedRun | None:
        """The trial with its config, asked now where it has not been before.

        None where it needs no run of its own: an equal config has been run, which settles the
        trial too, or runs now, and will. Errors: Optuna's, where the study cannot be asked.
        """
        with self._lock:
            if run.index not in self._placed:
                trial = self._plan.runs[run.index]
                if _number(trial) not in self._asked:
                    trial = self._ask(trial)
                self._placed[run.index] = self._place(trial)
            return self._placed[run.index]

    def link(self, run: PlannedRun) -> TrialLink:
        """The metric's name, and where the run hears that it is given up."""
        return TrialLink(self._namer.search.metric, self._pruning.file(str(run.run_id)))

    def started(self, run: PlannedRun, run_dir: str) -> None:
        """An attempt begins: its reports are looked at."""
        self._pruning.started(_number(run), run_dir)

    def ended(self, run: PlannedRun, outcome: Outcome) -> None:
        """A trial has ended for good, or been stopped: then it stays open."""
        self._pruning.ended(_number(run))
        if outcome.ending.resumable:
            return
        known = known_run(self._request.results_root, str(run.run_id))
        if known is not None and known.status != RUNNING:
            self.settled(run, known)
        else:  # a full disk: its folder does not tell
            self._tell_state(run, TrialState.FAIL)

    def settled(self, run: PlannedRun, known: KnownRun) -> None:
        """A config has its outcome: its trial ends, and so do those that have the same config."""
        self._tell(run, known)
        if run.digest is None:
            return
        with self._lock:
            self._over[run.digest] = known
            self._running.discard(run.digest)
            twins = self._twins.pop(run.digest, [])
        for twin in twins:
            self._claims.settle(twin, known)

    def _ask(self, place: PlannedRun) -> PlannedRun:
        trial = self._study.ask(_number(place))
        run = self._namer.run(place.index, trial.number, trial.params)
        try:
            self._folder.add_to_plan(plan_line(run))
        except OSError as error:  # the study has it; the next start writes the plan anew
            log.warning("trial %s is not in the plan: %s", trial.number, error)
        return run

    def _place(self, run: PlannedRun) -> PlannedRun | None:
        self._put(run)
        if run.digest is None:
            return run
        over = self._over.get(run.digest)
        if over is None and run.digest in self._running:
            self._twins.setdefault(run.digest, []).append(run)
            return None
        found = self._earlier(run)
        if over is None and found is not None and self._request.only is None:
            over = found if state_of(found, self._plan.batch_id) is not None else None
        if over is not None:
            self._claims.settle(run, over)
            return None
        self._running.add(run.digest)
        if found is not None:
            action = Action.RESUME if action_of(found) is Action.RESUME else Action.RUN
            run = replace(run, action=action, known=found)
            self._put(run)
        return run

    def _earlier(self, run: PlannedRun) -> KnownRun | None:
        """The earlier run of a trial's config that counts; with `on_code_change: stop`, only one
        whose code does."""
        if self._request.only is not None:
            return run.known
        earlier = self._plan.earlier
        found = earlier.of(run.config, run.digest) if earlier and run.digest else None
        if found is None or not (found.fits or self._request.spec.on_code_change == "warn"):
            return None
        return found.run

    def _put(self, run: PlannedRun) -> None:
        cast("MutableSequence[PlannedRun]", self._plan.runs)[run.index] = run

    def _tell(self, run: PlannedRun, known: KnownRun) -> None:
        if self._study.is_finished(_number(run)):
            return
        state = state_of(known, self._plan.batch_id) or TrialState.FAIL
        value = None
        if state is TrialState.COMPLETE:
            metric = self._namer.search.metric
            value = _metric(known.run_dir, metric)
            if value is None:
                state = TrialState.FAIL
                log.warning("%s has no number '%s': its trial failed", known.run_id, metric)
        self._tell_state(run, state, value, known)

    def _tell_state(
        self,
        run: PlannedRun,
        state: TrialState,
        value: float | None = None,
        known: KnownRun | None = None,
    ) -> None:
        number = _number(run)
        try:
            for step, reported in ReportReader(known.run_dir).new_reports() if known else ():
                self._study.report(number, step, reported)
            self._study.tell(number, state, value)
        except Exception:
            # The folders know: the next start tells it.
            log.warning("trial %s is %s, and the study is not told", number, state, exc_info=True)


def trials_of(request: SweepRequest, plan: Plan, claims: ConfigClaims) -> Trials:
    """The trials of the request's search; those of none where it has none."""
    return Trials() if request.search is None else SearchTrials(request, plan, claims)


def _number(run: PlannedRun) -> int:
    assert run.trial is not None, "every config of a search is a trial"
    return run.trial.number


def _metric(run_dir: str, name: str) -> float | None:
    """The run's value of a metric; None where it has no finite number of that name."""
    try:
        value = reach(read_json(f"{run_dir}/{METRICS_JSON}"), name)
    except (OSError, ValueError, TypeError):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
