"""The executors: run attempts in worker processes, on threads, on a cluster, or in the caller."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Protocol

from argus_tasks.base.errors import BadInput
from argus_tasks.experiments.experiment import ExperimentFunction
from argus_tasks.experiments.script_process import kill_running
from argus_tasks.planning.request import SweepRequest
from argus_tasks.provenance.code_recording import CodeRecording
from argus_tasks.runs.context.run_context import Tracker
from argus_tasks.runs.context.run_log import copied_streams
from argus_tasks.runs.context.trackers import build_trackers
from argus_tasks.spec.modes import ENGINES, Mode
from argus_tasks.spec.time_limit import TimeLimit
from argus_tasks.workers.attempts.attempt import Capture, outcome_of_exception, run_attempt
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.attempts.stop_flag import StopFlag
from argus_tasks.workers.engines.dask_engine import DaskEngine
from argus_tasks.workers.engines.engine_executor import Engine, EngineExecutor
from argus_tasks.workers.engines.ray_engine import RayEngine
from argus_tasks.workers.isolation.death import WorkerDied
from argus_tasks.workers.isolation.pool import WorkerPool
from argus_tasks.workers.isolation.protocol import (
    Setup,
    dumps,
    sys_path_of,
    without_experiment_function,
)
from argus_tasks.workers.worker_environment import shared_environment

_PACKAGES = {"dask": "distributed", "ray": "ray"}


class Executor(Protocol):
    """The interface that a session uses to run attempts."""

    def warm(self, count: int) -> None:
        """Prepare to run `count` attempts at the same time."""

    def check(self) -> None:
        """Wait until the experiment has been loaded. Raises BadInput if it cannot be loaded."""

    def run(self, assignment: Assignment, may_start: Callable[[], bool]) -> Outcome | None:
        """Wait for a free slot, call `may_start`, and execute one attempt.

        Returns:
            The outcome; None if `may_start` returned False.

        Raises:
            WorkerDied: if the worker process died.
            BadInput: as `check`.
        """

    def root_pid(self) -> int | None:
        """The process id of the common ancestor of all experiments; None if there is none."""

    def end_all(self, sign: signal.Signals) -> None:
        """Send the signal to all experiments that run in other processes."""

    def close(self) -> None:
        """Release all resources."""


class WorkerExecutor:
    """Runs attempts in worker processes that are kept between attempts."""

    def __init__(
        self,
        request: SweepRequest,
        stop: StopFlag,
        limit: TimeLimit,
        environment: Mapping[str, str],
        likely: Sequence[Mapping[str, str]],
        code: CodeRecording | None,
    ) -> None:
        # If attempts need slots, no more workers are started in advance than there are slots.
        self._most_ready = len(likely) if any(likely) else request.workers
        setup = setup_of(request, stop, code)
        self._pool = WorkerPool(
            request.workers,
            setup,
            {**shared_environment(request, os.environ), **environment},
            limit=limit,
            grace_s=request.execution.stop_grace_s,
            max_runs=request.execution.max_runs_per_worker,
            likely=likely,
        )

    def warm(self, count: int) -> None:
        """Start `count` workers."""
        self._pool.warm(min(count, self._most_ready))

    def check(self) -> None:
        """Wait until a worker has loaded the experiment."""
        try:
            self._pool.check()
        except WorkerDied as death:
            stack = f"\n{death.stack}" if death.stack else ""
            raise BadInput(
                f"loading the experiment ended its process: {death.cause}.{stack}"
            ) from death

    def run(self, assignment: Assignment, may_start: Callable[[], bool]) -> Outcome | None:
        """Execute on a free worker."""
        return self._pool.run(assignment, may_start)

    def root_pid(self) -> int | None:
        """The process id of the workers' keeper."""
        return self._pool.keeper_pid

    def drop_idle(self, environment: Mapping[str, str]) -> None:
        """End the idle worker that has this environment, if there is one."""
        self._pool.drop_idle(environment)

    def end_all(self, sign: signal.Signals) -> None:
        """Send the signal to every worker."""
        self._pool.end_all(sign)

    def close(self) -> None:
        """End the workers."""
        self._pool.close()


class LocalExecutor:
    """Runs attempts on the caller's own thread, without isolation, so that a debugger works."""

    def __init__(
        self,
        request: SweepRequest,
        stop: StopFlag,
        code: CodeRecording | None,
        *,
        overlapping: bool = False,
    ) -> None:
        self._code = (
            code.in_this_process(overlapping=overlapping, command=request.experiment.is_command)
            if code is not None
            else None
        )
        self._load = partial(request.experiment.load, request.execution.stop_grace_s)
        self._function: ExperimentFunction | None = None
        self._trackers = build_trackers(request.tracker_specs, request.trackers)
        self._stop = stop

    def warm(self, count: int) -> None:  # noqa: ARG002 - one process, whatever the count
        """Load the experiment."""
        if self._function is not None:
            return
        try:
            self._function = self._load()
        except BadInput:
            raise
        except Exception as error:
            raise BadInput(
                f"the experiment cannot be loaded: {type(error).__name__}: {error}"
            ) from error

    def check(self) -> None:
        """Load the experiment."""
        self.warm(1)

    def run(self, assignment: Assignment, may_start: Callable[[], bool]) -> Outcome | None:
        """Execute here, and copy what the experiment prints to its log."""
        if not may_start():
            return None
        return self._attempt(assignment, copied_streams, lambda: False)

    def root_pid(self) -> int | None:
        """None: experiments run in this process."""

    def end_all(self, sign: signal.Signals) -> None:
        """Kill running scripts on SIGKILL; anything else runs in this process."""
        if sign == signal.SIGKILL:
            kill_running()

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _attempt(
        self, assignment: Assignment, capture: Capture | None, abandoned: Callable[[], bool]
    ) -> Outcome:
        self.warm(1)
        assert self._function is not None
        return run_attempt(
            assignment,
            self._function,
            trackers=self._trackers,
            stop=self._stop,
            capture=capture,
            abandoned=abandoned,
            code=self._code,
        )


class ThreadExecutor(LocalExecutor):
    """Runs attempts on threads of the caller's process, without isolation, for functions that wait.

    A thread cannot be ended from outside. One that does not return after a stop is abandoned: it
    writes nothing any more, and does not keep the process from exiting.
    """

    def __init__(self, request: SweepRequest, stop: StopFlag, code: CodeRecording | None) -> None:
        super().__init__(request, stop, code, overlapping=True)
        self._slots = threading.BoundedSemaphore(request.workers)
        self._abandoned = threading.Event()
        self._waiting: set[Future[Outcome]] = set()
        self._lock = threading.Lock()

    def run(self, assignment: Assignment, may_start: Callable[[], bool]) -> Outcome | None:
        """Execute on a new thread, as soon as a slot is free."""
        with self._slots:
            future: Future[Outcome] = Future()
            with self._lock:
                if self._abandoned.is_set():
                    raise WorkerDied("stopped")
                self._waiting.add(future)
            if not may_start():
                with self._lock:
                    self._waiting.discard(future)
                return None
            place = copy_context()  # Prefect's logging and tasks need the context variables
            threading.Thread(
                target=place.run,
                args=(self._into, future, assignment),
                name="argus-run",
                daemon=True,
            ).start()
            try:
                return future.result()
            finally:
                with self._lock:
                    self._waiting.discard(future)

    def end_all(self, sign: signal.Signals) -> None:
        """Abandon all threads."""
        super().end_all(sign)
        with self._lock:
            self._abandoned.set()
            for future in self._waiting:
                with suppress(InvalidStateError):
                    future.set_exception(WorkerDied("its thread did not return"))

    def _into(self, future: Future[Outcome], assignment: Assignment) -> None:
        try:
            outcome = self._attempt(assignment, None, self._abandoned.is_set)
        except BaseException as error:  # noqa: BLE001 - it is the waiting thread's to see
            outcome = outcome_of_exception(error, 0.0)
        with suppress(InvalidStateError):
            future.set_result(outcome)


def make_executor(
    request: SweepRequest,
    stop: StopFlag,
    limit: TimeLimit,
    environment: Mapping[str, str],
    likely: Sequence[Mapping[str, str]] = ({},),
    code: CodeRecording | None = None,
) -> Executor:
    """Make the executor of the request's mode.

    Args:
        request: the sweep.
        stop: the flag that attempts look at.
        limit: the time limit of attempts; for worker processes only.
        environment: added to the environment of worker processes.
        likely: the environments that single attempts are likely to need, to start workers in
            advance.
        code: what is recorded of the code that attempts execute; None for nothing.
    """
    if request.execution.mode == "sequential":
        return LocalExecutor(request, stop, code)
    if request.execution.mode == "thread":
        return ThreadExecutor(request, stop, code)
    if request.execution.mode in ENGINES:
        engine = make_engine(request.execution.mode, request.execution.address, request.workers)
        setup = replace(setup_of(request, stop, code), cwd=os.getcwd())  # noqa: PTH109
        return EngineExecutor(request, engine, setup, environment, stop, limit)
    return WorkerExecutor(request, stop, limit, environment, likely, code)


def setup_of(request: SweepRequest, stop: StopFlag, code: CodeRecording | None) -> Setup:
    """The setup that workers need to run attempts of the sweep, and what they record of its code.

    Raises:
        BadInput: if live trackers cannot be sent to other processes.
    """
    experiment = without_experiment_function(request.experiment)
    sys_path = sys_path_of(sys.path, os.getcwd())  # noqa: PTH109
    if code is not None and code.frozen is not None:
        moved = code.frozen.moved
        sys_path = tuple(moved(entry) for entry in sys_path)
        experiment = replace(experiment, folder=experiment.folder and moved(experiment.folder))
    return Setup(
        experiment,
        sys_path,
        tuple(request.tracker_specs),
        _sendable(request.trackers),
        stop.descriptor,
        request.execution.fresh_process,
        request.execution.nice or 0,
        code=code,
    )


def _sendable(trackers: tuple[Tracker, ...]) -> bytes | None:
    if not trackers:
        return None
    try:
        return dumps(trackers)
    except Exception as error:
        names = ", ".join(type(tracker).__name__ for tracker in trackers)
        raise BadInput(
            f"trackers ({names}) cannot be sent to worker processes ({error});"
            " give them as tracker_specs, or use mode 'sequential' or 'thread'."
        ) from error


def make_engine(mode: Mode, address: str | None, runs_at_once: int) -> Engine:
    """Make the engine of a mode, not connected yet. Raises BadInput if its package is not
    installed."""
    package = _PACKAGES[mode]
    if find_spec(package) is None:
        raise BadInput(
            f"mode is '{mode}', which needs the package '{package}';"
            f" expected it to be installed: pip install 'argus-tasks[{mode}]'."
        )
    if mode == "ray":
        return RayEngine(address, runs_at_once)
    return DaskEngine(address, runs_at_once)
