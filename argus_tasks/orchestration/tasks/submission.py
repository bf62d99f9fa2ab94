"""The flow's main loop: a window of submitted task runs, and what a stop does."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from signal import SIGINT
from typing import Any

from prefect.client.schemas.objects import State

from argus_tasks.admission.hold_notice import HoldingNotice
from argus_tasks.orchestration.mirror.task_run_records import TaskRunRecords
from argus_tasks.planning.sweep_plan import PlannedRun
from argus_tasks.prefect_compat.task_engine import ConfigTask, ConfigTaskRunner
from argus_tasks.session.sweep_session import SweepSession

# One more than there are workers: the next task run is through Prefect's engine when one frees.
_AHEAD = 1
# How often to look whether the configs that other sweeps run have become free.
_LOOK_S = 0.5
_TERM_TO_KILL_S = 1.0
_KILL_TO_LEAVE_S = 3.0


def run_in_order(session: SweepSession, task: ConfigTask, task_runs: TaskRunRecords) -> None:
    """Call the task for each config on the flow's own thread (mode `sequential`)."""
    to_do = deque(session.plan.to_do)
    while not session.stopping and (to_do or session.claims.waiting):
        if not to_do:
            to_do.extend(session.claims.freed())
        if not to_do:
            time.sleep(_LOOK_S)
        elif not session.rules.holds((run := to_do.popleft()).index) and session.claim(run):
            run = session.plan.runs[run.index]
            task_runs.ended(run.name, task(run.index, run.name, return_state=True))


class SubmissionLoop:
    """Submits every config that is to be run, at most a window at once, until all have ended.

    What still runs when the grace after a stop is over is ended.

    Args:
        session: whose configs they are.
        task_runs: notes each task run that ends.
        admit: called with the number of task runs submitted so far before each further one; it
            may hold the flow back.
    """

    def __init__(
        self, session: SweepSession, task_runs: TaskRunRecords, admit: Callable[[int], None]
    ) -> None:
        self._session = session
        self._plan = session.plan
        self._task_runs = task_runs
        self._runner = ConfigTaskRunner.current()
        self._admit = admit
        self._waiting = session.admission.waiting
        self._ended: queue.SimpleQueue[tuple[PlannedRun, Future[State[Any]]] | None]
        self._ended = session.admission.changes
        self._unstarted: set[int] = set()
        self._room_at_a_start = False
        self._in_flight = 0
        self._submitted = 0
        # A trial is asked no earlier than it can run: its sampler learns from those that end.
        self._workers = session.request.workers
        self._window = self._workers + (0 if session.request.search else _AHEAD)
        self._stopped_at: float | None = None
        self._termed_at: float | None = None
        self._killed_at: float | None = None

    def run(self, task: ConfigTask) -> None:
        """Submit the task for each config; return when all have ended."""
        session = self._session
        notice = HoldingNotice(session.folder.path)
        while not self.finished:
            try:
                self.turn(task)
                notice.write(session.admission.holding)
            except KeyboardInterrupt:  # of a handler that is not ours
                session.stops.on_signal(SIGINT)
        notice.end()

    def attempt_started(self, index: int) -> None:
        """An attempt of this config has its worker."""
        self._unstarted.discard(index)
        if self._room_at_a_start:
            self._room_at_a_start = False
            self._ended.put(None)

    @property
    def finished(self) -> bool:
        """True where nothing runs and nothing more is to be started, or nobody answers."""
        if self._killed_at is not None and time.monotonic() > self._killed_at + _KILL_TO_LEAVE_S:
            return True
        left = self._waiting or self._session.claims.waiting
        return not self._in_flight and (not left or self._session.stopping)

    def turn(self, task: ConfigTask) -> None:
        """Fill the window, then wait for an end, or for the next step of a stop."""
        session = self._session
        if not self._waiting:
            for freed in session.claims.freed():
                self._waiting.add(freed)
        while self._waiting and not session.stopping and self._has_room():
            self._admit(self._submitted)
            run = session.admission.next()
            if run is None:
                break
            if not session.claim(run):
                session.admission.turn_away(run)
                continue
            run = self._plan.runs[run.index]  # a search has just drawn its config
            self._unstarted.add(run.index)
            future = self._runner.start(task, run.index, run.name)
            self._in_flight += 1
            self._submitted += 1
            future.add_done_callback(partial(self._has_ended, run))
        if self.finished:
            return
        try:
            ended = self._ended.get(timeout=0.05 if session.stopping else _LOOK_S)
        except queue.Empty:
            ended = None
        if ended is not None:
            run, future = ended
            self._in_flight -= 1
            self._unstarted.discard(run.index)
            self._task_runs.ended(run.name, _state_of(future))
        if session.stopping:
            self._wind_down()

    def _has_room(self) -> bool:
        """Those that wait for their next try hold no worker."""
        idle = self._session.admission.retry_delays.count + self._session.admission.gate.waiting
        busy = self._in_flight - idle
        if busy < self._workers:
            return True
        if busy >= self._window:
            return False
        self._room_at_a_start = True
        return not self._unstarted  # the one ahead is not to overtake those before it

    def _has_ended(self, run: PlannedRun, future: Future[State[Any]]) -> None:
        self._ended.put((run, future))

    def _wind_down(self) -> None:
        now = time.monotonic()
        if self._stopped_at is None:
            self._stopped_at = now
        hurried = self._session.stops.hurried
        grace_s = 0.0 if hurried else self._session.stops.grace_s
        if self._termed_at is None:
            if now >= self._stopped_at + grace_s:
                self._session.end_workers(now=False)
                self._termed_at = now
        elif self._killed_at is None and now >= self._termed_at + (
            0.0 if hurried else _TERM_TO_KILL_S
        ):
            self._session.end_workers(now=True)
            self._killed_at = now


def _state_of(future: Future[State[Any]]) -> State[Any] | None:
    """The state of a task run that has ended, as it is here; None where its engine broke."""
    try:
        return future.result()
    except (Exception, SystemExit):  # noqa: BLE001 - Prefect's own; the run has its folder
        return None
