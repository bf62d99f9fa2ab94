"""One start of a sweep: executes configs, keeps the ledger, counts, and stops when told to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.processes import user_at_host
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.saved_request import recipe_of
from argus_tasks.planning.sweep_plan import Action, Plan, PlannedRun, refuse_other_code
from argus_tasks.runs.ledger.catalogue import KnownRun
from argus_tasks.runs.ledger.stop_request import StopRequest
from argus_tasks.runs.ledger.summary import RunSummary
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, first_start
from argus_tasks.runs.record.causes import CLAIM_LOST, DISK_FULL, OUT_OF_MEMORY
from argus_tasks.runs.record.layout import FAILED, RUNNING, SUCCEEDED
from argus_tasks.runs.record.metadata import with_facts
from argus_tasks.runs.record.run_record import Ending, stopped_ending
from argus_tasks.session.admission_queue import Admission
from argus_tasks.session.assignments import Assigner
from argus_tasks.session.config_claims import Holding
from argus_tasks.session.disk_room import DiskRoom
from argus_tasks.session.environment_snapshot import Surroundings
from argus_tasks.session.housekeeping import Housekeeper
from argus_tasks.session.machine_resources import drop_workers_with
from argus_tasks.session.observer import SessionObserver
from argus_tasks.session.progress import Ended, Progress
from argus_tasks.session.retry_delays import Pauses
from argus_tasks.session.rules import Rules
from argus_tasks.session.start_plan import make_plan
from argus_tasks.session.stop_state import StopState
from argus_tasks.session.tally import how_it_ended, tally
from argus_tasks.session.trials import trials_of
from argus_tasks.spec.modes import ENGINES
from argus_tasks.spec.time_limit import TimeLimit
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.attempts.stop_flag import RULES
from argus_tasks.workers.executor import Executor, make_executor
from argus_tasks.workers.isolation.worker_death import LastWords, bury

log = logging.getLogger("argus_tasks")


class SweepSession:
    """From the first write to the summary. Use it as a context manager.

    Attributes:
        request: what was asked for (`environment` is added to that of worker processes).
        plan: what there is to do.
        holding: which configs are its own to run.
        surroundings: what it was started with.
        progress: how it is getting on.
        rules: what stops it by itself, and what is held back.
        stops: whether it has been stopped, by whom, and how much time is left.
        admission: the gate that every attempt passes, and who waits there.
        server: the name of the Prefect server it runs on; empty: the one Prefect is set to.
        unmirrored: task runs that Prefect's server could not be made to know.
        conducted: all that was to be run has been, as far as a stop let it.
        on_start: called with a config's index when an attempt of it has its worker.
        revive_server: called when all has ended, before Prefect's server is asked what it knows;
            true where it had to be started again.
        observer: who watches it; nobody, unless it runs within `sweep_monitor.reported`.
        folder: what is on disk of its batch.
        session_id: its own id there, once entered.
        pauses: the waits of configs for their next try.
        trials: the configs as a search draws them; without one, as they are planned.
    """

    def __init__(self, request: SweepRequest, environment: Mapping[str, str] | None = None) -> None:
        self.request = request
        self.holding = Holding(request)
        self.plan: Plan = make_plan(request)
        refuse_other_code(self.plan)
        self.surroundings = Surroundings(request.results_root)
        self.unmirrored = 0
        self.server = ""
        self.revive_server: Callable[[], bool] = lambda: False
        self.on_start: Callable[[int], object] = lambda index: None  # noqa: ARG005
        self.conducted = False
        self.stops = StopState(request.execution.stop_grace_s)
        self._stop = self.stops.flag
        self.pauses = Pauses(request.retry)
        self._started = time.monotonic()
        self.observer = SessionObserver()
        self.folder = SweepFolder(request.results_root, self.plan.batch_id)
        self._last: dict[int, Outcome] = {}
        self.progress = Progress(
            len(self.plan.runs),
            self.plan.count(Action.REUSE),
            self.plan.count(Action.LEAVE) - len(self.plan.left_failed),
            request.workers,
            failed=len(self.plan.left_failed),
        )
        self.trials = trials_of(request, self.plan, self.holding)
        self.holding.on_settled = self._on_settled
        self._limit = TimeLimit(request.execution.timeout_s, request.execution.timeout)
        self.rules = Rules(request.spec.stop, self.plan.runs, self.stop)
        self.progress.on_ended = self._on_ended
        self.rules.on_blame = self._note_reasons
        self.admission = Admission(
            request,
            self.plan.to_do,
            self._stop.is_set,
            lambda: self._executor.tree(),
            set_aside=self.rules.holds,
            alone=self._ran_out_of_memory,
        )
        self._room = DiskRoom(request.results_root)
        self._last_words = LastWords()
        self._assigner = Assigner(request, self.plan.batch_id, self.holding)
        self._assigner.link_of = self.trials.link
        self._housekeeper = Housekeeper(
            str(self.folder.path),
            on_stop=self._on_request,
            look=self._help_a_stop,
            renew=self.holding.renew,
            on_lost=self._on_lost_claim,
        )
        self._executor: Executor = make_executor(
            request,
            self._stop,
            self._limit,
            environment or {},
            [each for resource in self.admission.resources for each in resource.likely] or [{}],
        )
        drop_workers_with(self.admission.resources, self._executor)
        self.session_id = ""

    def warm(self) -> None:
        """Start the workers now; they load while the caller does other things."""
        self.admission.open()
        if self.plan.to_do:
            self.surroundings.begin()
        self._executor.warm(min(self.request.workers, len(self.plan.to_do)))

    def check(self) -> None:
        """Wait until the experiment is known to load; nothing has been written yet.

        Errors: BadInput where it does not load.
        """
        if self.plan.to_do:
            self._executor.check()

    def open(self) -> None:
        """Have the batch, and write down that a session of it starts.

        Errors: BadInput where the results root cannot be made, or others have the batch; OSError
        where something cannot be written.
        """
        root = self.request.results_root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"results_root is '{root}'; expected a folder that can be made: {error.strerror}."
            ) from error
        self.holding.check()
        request, plan = self.request, self.plan
        sticky = request.reuse and not request.fresh and request.batch_id is None
        new = first_start(request.results_root, plan.identity, plan.batch_id)
        with new if sticky and not plan.known_batch else nullcontext():
            self.folder.take()
            self.session_id = self.folder.open_session(
                plan.identity,
                git_sha=plan.git_sha,
                created_by=user_at_host(),
                recipe=recipe_of(request),
            )
        self._assigner.meta = replace(
            with_facts(self.request.metadata, Path.cwd()),
            code=self.plan.code,
            env_snapshot=self.surroundings.reference(self.folder, self.session_id),
        )
        self.folder.write_plan(self.plan.listed)
        self.surroundings.keep(self.folder, self.session_id)
        self.holding.open(self.folder, self.plan.to_do)

    def __enter__(self) -> SweepSession:
        if not self.session_id:
            self.open()
        self.trials.open(self.folder)
        self._housekeeper.start()
        self.rules.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and close the session's files."""
        self.rules.close()
        self._housekeeper.close()
        self._executor.close()
        self.trials.close()
        self.stops.deadline.begin()
        self.surroundings.close(0.2 if self.stopping else self.stops.deadline.left_s())
        self.admission.gate.close()
        self.folder.free_reserved_space()
        for assignment, outcome in self._last_words.write_owed():
            self._note(assignment, "closed", outcome.ending, outcome.files)
        self.holding.close()
        if self.session_id:
            self.folder.close_session(
                self.session_id, **how_it_ended(self.summary(), self.stop_reason)
            )
            self.session_id = ""
        self.folder.close()
        self.observer.leave()

    def note_flow_run(self, flow_run_id: str, server: str, *, mirrored: bool) -> None:
        """Note which flow run this session is, on which server, and whether that one agrees."""
        if self.session_id:
            facts = {"id": flow_run_id, "server": server, "mirrored": mirrored}
            self.folder.note_session(self.session_id, flow_run=facts)

    @property
    def stopping(self) -> bool:
        """True once a stop was asked for."""
        return self._stop.is_set()

    @property
    def stopped_by(self) -> str:
        """Who asked for the stop; empty where nobody has."""
        return self._stop.by()

    @property
    def stop_reason(self) -> str:
        """Who asked for the stop, or the rule that did, with what it has seen; empty if nobody."""
        by = self.stopped_by
        return self.rules.reason if by in RULES else by

    def stop(self, by: str) -> None:
        """Start nothing new and tell the experiments; the first who says so is named."""
        self.stops.stop(by)
        self.pauses.end()

    def _help_a_stop(self) -> None:
        """What a handler of signals may not do, and the main thread cannot in mode sequential."""
        if self.stopping:
            self.pauses.end()
        if self.stops.hurried and self.request.execution.mode == "sequential":
            self.end_workers(now=True)

    def _on_request(self, request: StopRequest) -> None:
        if request.now or self.stops.interrupted:
            self.stops.hurry()
        self.stop("argus-tasks stop")

    def _on_lost_claim(self) -> None:
        self.stop("another host")
        self.end_workers(now=True)

    def end_workers(self, *, now: bool) -> None:
        """End what still runs: TERM, or, with `now`, KILL."""
        self._executor.end_all(SIGKILL if now else SIGTERM)

    def claim(self, run: PlannedRun) -> bool:
        """Make a config this session's own to run, which holds until it has been run.

        False where another sweep runs it now (see `holding.freed`), or has settled it meanwhile.
        """
        asked = self.trials.asked(run)
        return asked is not None and self.holding.take(asked) is not None

    def run_one(self, index: int, try_number: int) -> Outcome:
        """Execute a config's attempt; `try_number` counts this session's, from 1.

        Whatever becomes of the experiment or its worker is an outcome, not an exception.
        """
        run = self.plan.runs[index]
        if not self._may_start(run, try_number) or not self.claim(run):
            return self._not_run(run, try_number)
        run = self.holding.ours(run)
        assignment = self._assigner.assignment(
            run, try_number, self.observer.join(run), self.admission.ticket(index)
        )
        began: list[float] = []

        def may_start() -> bool:
            if not self._may_start(run, try_number):
                return False
            began.append(time.monotonic())
            self.on_start(index)
            self._note(assignment, "started", Ending(RUNNING))
            self.observer.started(run, assignment)
            self.trials.started(run, assignment.key.run_dir)
            self.progress.started(run)
            return True

        self._last_words.forget(assignment.key.run_id)
        try:
            outcome = self._executor.run(assignment, may_start)
        except Exception as death:  # noqa: BLE001 - ours or pickle's: it costs this run
            if not began and self._stop.is_set():
                return self._not_run(run, try_number)
            duration_s = time.monotonic() - began[0] if began else 0.0
            outcome = bury(assignment, death, duration_s, self.stopped_by)
            if self._assigner.forgives(index, outcome.ending.cause):
                outcome = replace(outcome, forgiven=True)
        if outcome is None:
            return self._not_run(run, try_number)
        if outcome.ending.cause == CLAIM_LOST:  # the folder is another's now, and so is the word
            self.stop("another host")
            self._last[index] = outcome
            return outcome
        if self._room.is_gone(outcome.ending.cause):
            self._run_out_of_room()
        if self.stopped_by == DISK_FULL and outcome.ending.cause == DISK_FULL:
            cut = stopped_ending(DISK_FULL)
            outcome = replace(outcome, ending=cut, kinds=(), unwritten=True)
        ending = outcome.ending
        if outcome.unwritten:
            outcome = self._last_words.write(assignment, outcome)
        elif ending.status == SUCCEEDED:
            self._limit.succeeded(outcome.duration_s)
        self._note(assignment, "ended", ending, outcome.files)
        self._last[index] = outcome
        if self.wants_retry(index, try_number):
            self.progress.paused(run)
        else:
            self.holding.let_go(run)
            self.progress.ended(Ended(run, assignment.key.run_id, outcome, assignment.attempt))
        return outcome

    def wants_retry(self, index: int, try_number: int) -> bool:
        """True where the config's last attempt failed and is to be tried again."""
        outcome = self._last.get(index)
        if outcome is None or outcome.ending.status != FAILED or outcome.ending.resumable:
            return False
        counted = try_number - (index in self._assigner.forgiven)
        return outcome.forgiven or self.request.retry.wants(outcome.kinds, counted)

    @property
    def most_tries(self) -> int:
        """How often one start of the sweep may try a config: where nodes can be lost, once more."""
        return max(1, self.request.retry.max_attempts) + (self.request.execution.mode in ENGINES)

    def outcome_of(self, index: int) -> Outcome | None:
        """How the config's last attempt ended; None before it has."""
        return self._last.get(index)

    def run_dir(self, index: int) -> str | None:
        """The config's run folder, once it has one."""
        key = self._assigner.keys.get(index)
        return key.run_dir if key else None

    def summary(self) -> RunSummary:
        """What it has come to so far."""
        return tally(
            self.plan,
            self.holding,
            self._last,
            self._assigner.keys,
            self.rules,
            duration_s=time.monotonic() - self._started,
            unmirrored=self.unmirrored,
        )

    def _on_ended(self, news: Ended) -> None:
        self.rules.ended(news)
        self.trials.ended(news)

    def _run_out_of_room(self) -> None:
        root = self.request.results_root
        if self.rules.say(DISK_FULL, f"no room under {root}"):
            log.warning("no room under %s: nothing new starts; make some, and go on", root)

    def _on_settled(self, run: PlannedRun, known: KnownRun) -> None:
        self.progress.settled(known.status)
        self.trials.settled(run, known)

    def _note_reasons(self) -> None:
        """So that `status` says why, also while the sweep goes on."""
        self.folder.note_session(self.session_id, reasons=self.summary().reasons)

    def _ran_out_of_memory(self, index: int) -> bool:
        last = self._last.get(index)
        return last is not None and last.ending.cause == OUT_OF_MEMORY

    def _may_start(self, run: PlannedRun, try_number: int) -> bool:
        return not self.stopping and not (try_number == 1 and self.rules.holds(run.index))

    def _not_run(self, run: PlannedRun, try_number: int) -> Outcome:
        """The outcome of a try that a stop has forestalled; one that was to be a retry is cut."""
        outcome = Outcome(stopped_ending(self.stopped_by or "breaker"))
        last = self._last.get(run.index)
        if last is None:
            self._assigner.keys.pop(run.index, None)
        else:
            run = self.holding.ours(run)
            cut = self._assigner.assignment(run, try_number - 1)
            outcome = self._last_words.write(cut, replace(outcome, stack=last.stack))
            self._note(cut, "ended", outcome.ending, outcome.files)
            self._last[run.index] = outcome
            self.progress.ended(Ended(run, cut.key.run_id, outcome, cut.attempt))
        self.holding.let_go(run)
        return outcome

    def _note(self, assignment: Assignment, event: str, ending: Ending, files: Any = None) -> None:
        self.folder.note(
            digest=assignment.key.digest,
            run_id=assignment.key.run_id,
            job_id=assignment.key.job_id if event != "closed" else None,
            attempt=assignment.attempt,
            event=event,
            status=ending.status,
            cause=ending.cause,
            **({"files": files} if files else {}),
        )
