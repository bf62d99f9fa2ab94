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


def one_by_one(session: SweepSession, task: ConfigTask, account: TaskRunRecords) -> None:
    """Call the task for each config in the flow's own thread, where a debugger works."""
    to_do = deque(session.plan.to_do)
    while not session.stopping and (to_do or session.holding.waiting):
        if not to_do:
            to_do.extend(session.holding.freed())
        if not to_do:
            time.sleep(_LOOK_S)
        elif not session.rules.holds((run := to_do.popleft()).index) and session.claim(run):
            run = session.plan.runs[run.index]
            account.ended(run.name, task(run.index, run.name, return_state=True))


def drive(
    session: SweepSession, task: ConfigTask, account: TaskRunRecords, admit: Callable[[int], None]
) -> None:
    """Submit every config that is to be run, at most a window at once, until all have ended.

    `admit` is called with the number of task runs submitted so far before each further one; it
    may hold the flow back. What still runs when the grace after a stop is over is ended.
    """
    loop = _Loop(session, task, account, admit)
    notice = HoldingNotice(session.folder.path)
    while not loop.finished:
        try:
            loop.turn()
            notice.say(session.admission.holding)
        except KeyboardInterrupt:  # of a handler that is not ours
            session.stops.on_signal(SIGINT)
    notice.end()


class _Loop:
    def __init__(
        self,
        session: SweepSession,
        task: ConfigTask,
        account: TaskRunRecords,
        admit: Callable[[int], None],
    ) -> None:
        self._session = session
        self._task = task
        self._account = account
        self._runner = ConfigTaskRunner.current()
        self._admit = admit
        self._waiting = session.admission.waiting
        self._ended: queue.SimpleQueue[tuple[PlannedRun, Future[State[Any]]] | None] = (
            queue.SimpleQueue()
        )
        self._unstarted: set[int] = set()
        self._room_at_a_start = False
        session.on_start = self._has_started
        self._in_flight = 0
        self._submitted = 0
        # A trial is asked no earlier than it can run: its sampler learns from those that end.
        self._window = session.request.workers + (0 if session.request.search else _AHEAD)
        self._stopped_at: float | None = None
        self._termed_at: float | None = None
        self._killed_at: float | None = None
        session.pauses.on_pause = session.admission.gate.changed = lambda: self._ended.put(None)

    @property
    def finished(self) -> bool:
        """True where nothing runs and nothing more is to be started, or nobody answers."""
        if self._killed_at is not None and time.monotonic() > self._killed_at + _KILL_TO_LEAVE_S:
            return True
        left = self._waiting or self._session.holding.waiting
        return not self._in_flight and (not left or self._session.stopping)

    def turn(self) -> None:
        """Fill the window, then wait for an end, or for the next step of a stop."""
        session = self._session
        if not self._waiting:
            for freed in session.holding.freed():
                self._waiting.add(freed)
        while self._waiting and not session.stopping and self._has_room():
            self._admit(self._submitted)
            run = session.admission.next()
            if run is None:
                break
            if not session.claim(run):
                session.admission.turn_away(run)
                continue
            run = session.plan.runs[run.index]  # a search has just drawn its config
            self._unstarted.add(run.index)
            future = self._runner.start(self._task, run.index, run.name)
            self._in_flight += 1
            self._submitted += 1
            future.add_done_callback(partial(self._report_job_end, run))
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
            self._account.ended(run.name, _state_of(future))
        if session.stopping:
            self._wind_down()

    def _has_room(self) -> bool:
        """Those that wait for their next try hold no worker."""
        idle = self._session.pauses.count + self._session.admission.gate.waiting
        busy = self._in_flight - idle
        if busy < self._session.request.workers:
            return True
        if busy >= self._window:
            return False
        self._room_at_a_start = True
        return not self._unstarted  # the one ahead is not to overtake those before it

    def _has_started(self, index: int) -> None:
        """Called where an attempt has its worker."""
        self._unstarted.discard(index)
        if self._room_at_a_start:
            self._room_at_a_start = False
            self._ended.put(None)

    def _report_job_end(self, run: PlannedRun, future: Future[State[Any]]) -> None:
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
