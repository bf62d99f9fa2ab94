"""A pool of worker processes that are kept between attempts, and replaced when they die or are worn
out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle, islice

from argus_tasks.spec.time_limit import TimeLimit
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.isolation.death import WorkerDied
from argus_tasks.workers.isolation.keeper_client import Keeper, KeeperLost
from argus_tasks.workers.isolation.pool_slots import WorkerSlots
from argus_tasks.workers.isolation.protocol import Setup, dumps
from argus_tasks.workers.isolation.worker_handle import Worker


class WorkerPool:
    """At most `size` workers, started in advance by `warm`, or when they are needed.

    Args:
        size: the largest number of workers.
        setup: the setup that holds for all runs.
        environment: added to the environment of the workers.
        limit: the time limit of attempts; when it is reached, an attempt gets a TERM.
        grace_s: the time in seconds from the TERM to a KILL.
        max_runs: the number of attempts after which a worker is replaced; None for no limit.
        likely: the environments that assignments are likely to need; a worker keeps its environment
            for life.
    """

    def __init__(
        self,
        size: int,
        setup: Setup,
        environment: Mapping[str, str],
        *,
        limit: TimeLimit,
        grace_s: float,
        max_runs: int | None,
        likely: Sequence[Mapping[str, str]] = ({},),
    ) -> None:
        self._setup = setup
        self._environment = environment
        self._limit = limit
        self._grace_s = grace_s
        self._max_runs = max_runs
        self._likely = likely
        self._slots = WorkerSlots(size)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._busy: set[Worker] = set()
        self._keeper: Keeper | None = None

    def warm(self, count: int) -> None:
        """Start that many workers now, so that they load the experiment while the caller does other
        things."""
        started = [
            self._slots.take(environment) or self._start(environment)
            for environment in islice(cycle(self._likely), count)
        ]
        for worker in started:
            self._slots.put(worker)

    def check(self) -> None:
        """Wait until a worker has loaded the experiment.

        Raises:
            BadInput: if the experiment cannot be loaded.
            WorkerDied: if loading it ends the worker.
        """
        with self._acquired(self._likely[0]) as worker:
            worker.wait_ready()

    def run(self, assignment: Assignment, may_start: Callable[[], bool]) -> Outcome | None:
        """Wait for a free worker, call `may_start`, and run the attempt.

        Returns:
            The outcome; None if `may_start` returned False.

        Raises:
            WorkerDied, BadInput: as `check`; a dead worker is replaced when a worker is next
            needed.
        """
        # With a monitor, it is pickled later: `may_start` sets the event that its events follow.
        data = dumps(assignment) if assignment.join is None else b""
        started = False
        while True:
            with self._acquired(assignment.environment) as worker:
                if assignment.alone:
                    for idle in self._slots.clear():
                        idle.close()
                worker.wait_ready()
                if not started and not may_start():
                    return None
                started = True
                answer = worker.run(data or dumps(assignment), self._limit, self._grace_s)
                if isinstance(answer, Outcome):
                    return answer

    def drop_idle(self, environment: Mapping[str, str]) -> None:
        """End the idle worker that has this environment, if there is one, and wait for its end."""
        worker = self._slots.take_idle(environment)
        if worker is not None:
            worker.close()

    @contextmanager
    def _acquired(self, environment: Mapping[str, str]) -> Iterator[Worker]:
        worker = self._slots.take(environment)
        try:
            if worker is not None and worker.environment != environment:
                unfit, worker = worker, None
                unfit.close()
            if worker is None or not worker.keeper.alive:
                worker = self._start(environment)
            with self._lock:
                self._busy.add(worker)
            yield worker
        except KeeperLost:
            assert worker is not None, "a keeper is lost by its workers"
            worker.keeper.lost()
            raise _keeper_lost() from None
        except BaseException as error:
            if worker is not None and not isinstance(error, WorkerDied):
                worker.usable = False
            raise
        finally:
            if worker is not None:
                with self._lock:
                    self._busy.discard(worker)
                if not self._reusable(worker):
                    worker.close()
                    worker = None
            self._slots.put(worker)

    def _reusable(self, worker: Worker) -> bool:
        return worker.usable and (self._max_runs is None or worker.runs < self._max_runs)

    @property
    def keeper_pid(self) -> int | None:
        """The process id of the keeper, the parent of all workers; None if there is no keeper."""
        keeper = self._keeper
        return keeper.pid if keeper is not None and keeper.alive else None

    def end_all(self, sign: signal.Signals) -> None:
        """Send a signal to every worker and what it started. No worker is started after this."""
        self._stopping.set()
        with self._lock:
            keeper = self._keeper
        if keeper is not None:
            keeper.signal(sign)

    def close(self) -> None:
        """End the workers; those in the middle of a run are killed."""
        self._stopping.set()
        with self._lock:
            busy = list(self._busy)
            keeper, self._keeper = self._keeper, None
        for worker in busy:  # the thread that waits for it sees the end
            worker.kill()
        for idle in self._slots.clear():
            idle.disconnect()
        if keeper is not None:
            keeper.close()

    def _start(self, environment: Mapping[str, str]) -> Worker:
        with self._lock:
            if self._stopping.is_set():
                raise WorkerDied("stopped")
            if self._keeper is None or not self._keeper.alive:
                self._keeper = Keeper(self._environment, self._setup.stop_descriptor)
            keeper = self._keeper
        try:
            return Worker(keeper, replace(self._setup, environment=environment))
        except KeeperLost:
            keeper.lost()
            raise _keeper_lost() from None


def _keeper_lost() -> WorkerDied:
    return WorkerDied("signal SIGKILL", "the keeper of the workers was killed")
