"""One start of a sweep: its workers, its files, and what its configs have come to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGKILL, SIGTERM
from types import TracebackType

from argus_tasks.base.errors import BadInput
from argus_tasks.base.processes import user_at_host
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.saved_request import request_record
from argus_tasks.planning.sweep_plan import Plan, PlannedRun
from argus_tasks.provenance.code_recording import CodeRecording
from argus_tasks.runs.ledger.catalogue import KnownRun
from argus_tasks.runs.ledger.stop_request import StopRequest
from argus_tasks.runs.ledger.summary import RunSummary
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, first_start
from argus_tasks.runs.record.metadata import RunMetadata, with_facts
from argus_tasks.session.admission_queue import AdmissionQueue
from argus_tasks.session.attempt_ledger import AttemptLedger
from argus_tasks.session.code_watch import CodeWatch
from argus_tasks.session.config_claims import ConfigClaims
from argus_tasks.session.config_results import ConfigResults
from argus_tasks.session.environment_snapshot import EnvironmentSnapshot
from argus_tasks.session.housekeeping import Housekeeper
from argus_tasks.session.machine_resources import drop_workers_with
from argus_tasks.session.prepared_sweep import PreparedSweep, prepare
from argus_tasks.session.progress import Progress, progress_of
from argus_tasks.session.rules import Rules
from argus_tasks.session.stop_state import StopState
from argus_tasks.session.tally import how_it_ended, tally
from argus_tasks.session.trials import Trials, trials_of
from argus_tasks.spec.time_limit import TimeLimit
from argus_tasks.workers.attempts.messages import Outcome
from argus_tasks.workers.attempts.stop_flag import RULES
from argus_tasks.workers.executor import Executor, make_executor


@dataclass(eq=False)
class SweepSession:
    """One start of a sweep, from starting its workers to closing its files.

    Make it with `new_session`, call `warm` and `check`, use it as a context manager, and run its
    attempts within, by an `AttemptRunner`.

    Attributes:
        prepared: what was asked for, and the plan.
        claims: which configs are its own to run.
        trials: the configs as a search draws them; without one, as they are planned.
        results: what its configs have come to.
        progress: how it is getting on, for those who watch.
        rules: what stops it by itself, and what is held back.
        stops: whether it has been stopped, by whom, and how much time is left.
        admission: the gate that every attempt passes, and who waits there.
        executor: where attempts execute.
        time_limit: how long an attempt may take.
        environment: what it was started with: code, packages, host.
        ledger: where its attempts are written down.
        recording: what is recorded of the code that its attempts execute.
        code_watch: notices edits of that code.
    """

    prepared: PreparedSweep
    claims: ConfigClaims
    trials: Trials
    results: ConfigResults
    progress: Progress
    rules: Rules
    stops: StopState
    admission: AdmissionQueue
    executor: Executor
    time_limit: TimeLimit
    environment: EnvironmentSnapshot
    ledger: AttemptLedger
    recording: CodeRecording
    code_watch: CodeWatch
    meta: RunMetadata = field(default_factory=RunMetadata, init=False)
    """What holds for every run, once it is open."""
    session_id: str = field(default="", init=False)
    """Its own id in the batch's folder, while it is open."""
    finished: bool = field(default=False, init=False)
    """All that was to be run has been, as far as a stop let it."""

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._unmirrored = 0
        self._housekeeper = Housekeeper(
            str(self.folder.path),
            on_stop=self._on_request,
            look=self._help_a_stop,
            renew=self.claims.renew,
            on_lost=self._on_lost_claim,
        )

    @property
    def request(self) -> SweepRequest:
        """What was asked for."""
        return self.prepared.request

    @property
    def plan(self) -> Plan:
        """What there is to do with each config."""
        return self.prepared.plan

    @property
    def folder(self) -> SweepFolder:
        """What is on disk of its batch."""
        return self.prepared.folder

    def warm(self) -> None:
        """Start the workers now; they load while the caller does other things."""
        self.admission.open()
        if self.plan.to_do:
            self.environment.begin()
        self.executor.warm(min(self.request.workers, len(self.plan.to_do)))

    def check(self) -> None:
        """Wait until the experiment is known to load; nothing has been written yet.

        Errors: BadInput where it does not load.
        """
        if self.plan.to_do:
            self.executor.check()

    def open(self) -> None:
        """Take the batch for this session, and write down that it starts.

        Errors: BadInput where the results root cannot be made, or others have the batch; OSError
        where something cannot be written.
        """
        request, plan = self.request, self.plan
        root = request.results_root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"results_root is '{root}'; expected a folder that can be made: {error.strerror}."
            ) from error
        self.claims.check()
        sticky = request.reuse and not request.fresh and request.batch_id is None
        new = first_start(root, plan.identity, plan.batch_id)
        with new if sticky and not plan.known_batch else nullcontext():
            self.folder.take()
            self.session_id = self.folder.open_session(
                plan.identity,
                git_sha=plan.git_sha,
                created_by=user_at_host(),
                recipe=request_record(request),
            )
        self.meta = replace(
            with_facts(request.metadata, Path.cwd()),
            code=plan.code,
            env_snapshot=self.environment.reference(self.folder, self.session_id),
        )
        self.folder.write_plan(plan.plan_lines)
        with suppress(OSError):  # the runs say that their code cannot be stored
            plan.present.keep_sources(plan.batch_id)
        self.environment.keep(self.folder, self.session_id)
        self.claims.open()

    def __enter__(self) -> SweepSession:
        if not self.session_id:
            self.open()
        self.trials.open(self.folder)
        self._housekeeper.start()
        self.rules.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self.finished = kind is None

    def close(self) -> None:
        """End the workers and close the session's files; a second call changes nothing."""
        self.rules.close()
        self._housekeeper.close()
        self.executor.close()
        self.trials.close()
        self.stops.deadline.begin()
        self.environment.close(0.2 if self.stopping else self.stops.deadline.left_s())
        self.admission.gate.close()
        self.folder.free_reserved_space()
        self.ledger.close()
        self.claims.close()
        if self.session_id:
            self.folder.close_session(
                self.session_id, **how_it_ended(self.summary(), self.stop_reason)
            )
            self.session_id = ""
        self.folder.close()
        if self.recording.frozen is not None:
            self.recording.frozen.remove()

    def note_flow_run(
        self, flow_run_id: str, server: str, *, mirrored: bool, unmirrored: int = 0
    ) -> None:
        """Note which flow run this session is, on which server, whether that one agrees, and how
        many task runs it could not be made to know."""
        self._unmirrored = unmirrored
        if self.session_id:
            facts = {"id": flow_run_id, "server": server, "mirrored": mirrored}
            self.folder.note_session(self.session_id, flow_run=facts)

    @property
    def stopping(self) -> bool:
        """True once a stop was asked for."""
        return self.stops.flag.is_set()

    @property
    def stopped_by(self) -> str:
        """Who asked for the stop; empty where nobody has."""
        return self.stops.flag.by()

    @property
    def stop_reason(self) -> str:
        """Who asked for the stop, or the rule that did, with what it has seen; empty if nobody."""
        by = self.stopped_by
        return self.rules.reason if by in RULES else by

    def end_workers(self, *, now: bool) -> None:
        """End what still runs: TERM, or, with `now`, KILL."""
        self.executor.end_all(SIGKILL if now else SIGTERM)

    def claim(self, run: PlannedRun) -> bool:
        """Make a config this session's own to run, which holds until it has been run.

        False where another sweep runs it now (see `claims.freed`), or has settled it meanwhile.
        """
        asked = self.trials.asked(run)
        return asked is not None and self.claims.take(asked) is not None

    def ended(self, run: PlannedRun, outcome: Outcome, attempts: int) -> None:
        """Count a config that has ended for good, after so many attempts."""
        self.progress.ended(run, outcome, attempts)
        self.code_watch.executed(outcome.manifest)
        if self.rules.ended(run, outcome):  # so that `status` says why, also while it goes on
            self.folder.note_session(self.session_id, reasons=self.summary().reasons)
        self.trials.ended(run, outcome)

    def summary(self) -> RunSummary:
        """The counts so far."""
        return tally(
            self.plan,
            self.claims,
            self.results,
            self.rules,
            duration_s=time.monotonic() - self._started,
            unmirrored=self._unmirrored,
        )

    def _help_a_stop(self) -> None:
        """What a handler of signals may not do, and the main thread cannot in mode sequential; and
        a look at the code, while nobody has asked for a stop."""
        if self.stopping:
            self.admission.retry_delays.end()
        elif self.recording.frozen is None:
            self.code_watch.look()
        if self.stops.hurried and self.request.execution.mode == "sequential":
            self.end_workers(now=True)

    def _on_request(self, request: StopRequest) -> None:
        if request.now or self.stops.interrupted:
            self.stops.hurry()
        self.stops.stop("argus-tasks stop")

    def _on_lost_claim(self) -> None:
        self.stops.stop("another host")
        self.end_workers(now=True)


def new_session(
    request: SweepRequest, environment: Mapping[str, str] | None = None
) -> SweepSession:
    """A session of this request, planned; nothing has been started or written yet, but for the copy
    that a frozen sweep runs from, which `close` deletes.

    Args:
        request: what is asked for.
        environment: what the environment of worker processes gets besides ours.

    Errors: BadInput.
    """
    prepared = prepare(request)
    plan = prepared.plan
    stops = StopState(request.execution.stop_grace_s, lambda: admission.retry_delays.end())
    progress = progress_of(plan, request.workers)
    rules = Rules(request.spec.stop, plan.runs, stops.stop)
    results = ConfigResults()

    def settled(run: PlannedRun, known: KnownRun) -> None:
        progress.settled(known.status)
        trials.settled(run, known)

    claims = ConfigClaims(prepared, settled)
    trials = trials_of(request, plan, claims)
    admission = AdmissionQueue(
        request,
        plan.to_do,
        stops.flag.is_set,
        lambda: executor.root_pid(),
        set_aside=rules.holds,
        alone=results.ran_out_of_memory,
    )
    time_limit = TimeLimit(request.execution.timeout_s, request.execution.timeout)
    likely = [each for resource in admission.resources for each in resource.likely] or [{}]
    recording = plan.present.recording(plan.batch_id, freeze=request.spec.code.freeze)
    executor = make_executor(request, stops.flag, time_limit, environment or {}, likely, recording)
    drop_workers_with(admission.resources, executor)
    return SweepSession(
        prepared,
        claims,
        trials,
        results,
        progress,
        rules,
        stops,
        admission,
        executor,
        time_limit,
        EnvironmentSnapshot(request.results_root),
        AttemptLedger(prepared.folder),
        recording,
        CodeWatch(
            plan.present,
            request.spec.on_code_change,
            rules.say,
            keeps=not (request.execution.fresh_process or request.experiment.is_command),
        ),
    )
