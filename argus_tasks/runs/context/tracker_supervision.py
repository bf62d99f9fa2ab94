"""Supervises a tracker: an exception in it becomes a log line, and one that hangs is not called
again.

Its calls are made on a thread of its own, one after the other; the run waits for each call for a
limited time.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argus_tasks.runs.context.run_context import MetricEvent, RunContext, Tracker
    from argus_tasks.runs.record.metadata import RunMetadata

CALL_LIMIT_S = 5.0
"""Seconds that a call may take; a tracker that needs longer has an attribute `limit_s`."""
MAKING_LIMIT_S = 60.0
"""Seconds that a tracker given by name may take to be created: to import and to connect."""


class SupervisedTracker:
    """Calls a tracker, which it creates when the first run starts, and logs its errors."""

    def __init__(
        self, name: str, make: Callable[[], Tracker], making_limit_s: float = MAKING_LIMIT_S
    ) -> None:
        self._name = name
        self._make = make
        self._making_limit_s = making_limit_s
        self._tracker: Tracker | None = None
        # Shared with forks of this process: a tracker that hangs in one run is not called in the
        # next.
        self._given_up = mmap.mmap(-1, 1)
        self._logged: set[tuple[str, str]] = set()
        self._making = threading.Lock()
        self._starting = threading.Lock()
        self._thread: _Calls | None = None

    def on_run_start(self, ctx: RunContext, meta: RunMetadata) -> None:
        """Create the tracker, if that is not done, and call it."""
        if self._is_given_up():
            ctx.logger.warning(
                "%s is not called in this run: it did not answer in time before", self._name
            )
        self._call(ctx, "on_run_start", lambda tracker: tracker.on_run_start(ctx, meta))

    def on_metric(self, ctx: RunContext, event: MetricEvent) -> None:
        """Call the tracker."""
        self._call(ctx, "on_metric", lambda tracker: tracker.on_metric(ctx, event))

    def on_run_end(self, ctx: RunContext, summary: dict[str, object]) -> None:
        """Call the tracker."""
        self._call(ctx, "on_run_end", lambda tracker: tracker.on_run_end(ctx, summary))
        self._logged = {one for one in self._logged if one[0] != ctx.run_id}

    def _call(self, ctx: RunContext, method: str, call: Callable[[Tracker], None]) -> None:
        if self._is_given_up():
            return
        calls = self._calls()
        with self._making:
            if self._is_given_up():
                return
            if self._tracker is None:
                made: list[Tracker] = []
                if not self._do(
                    calls, ctx, "made", lambda: made.append(self._make()), self._making_limit_s
                ):
                    self._given_up[0] = 1
                    return
                self._tracker = made[0]
        tracker = self._tracker
        limit_s = float(getattr(tracker, "limit_s", CALL_LIMIT_S))
        self._do(calls, ctx, method, lambda: call(tracker), limit_s)

    def _do(
        self,
        calls: _Calls,
        ctx: RunContext,
        what: str,
        call: Callable[[], None],
        limit_s: float,
    ) -> bool:
        """Make a call on the tracker's thread; returns whether it succeeded."""
        try:
            calls.do(call, limit_s, self._is_given_up)
        except _Hangs:
            self._given_up[0] = 1
            ctx.logger.warning(
                "%s is not called again: %s has not returned within %g s", self._name, what, limit_s
            )
            return False
        except Exception as error:  # noqa: BLE001 - a tracker never ends a run
            # Once for each run: all calls for its metrics may fail in the same way.
            if (ctx.run_id, what) not in self._logged:
                self._logged.add((ctx.run_id, what))
                ctx.logger.warning("%s.%s failed: %r", self._name, what, error)
            return False
        return True

    def _is_given_up(self) -> bool:
        return self._given_up[0] != 0

    def _calls(self) -> _Calls:
        """The tracker's thread; a new one in a process that was forked since."""
        with self._starting:
            if self._thread is None or self._thread.process != os.getpid():
                self._thread = _Calls(self._name)
            return self._thread


class _Hangs(Exception):
    pass


class _Job:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.began: float | None = None
        self.done = threading.Event()
        self.error: BaseException | None = None


class _Calls:
    """A thread that makes one call after the other."""

    def __init__(self, name: str) -> None:
        self.process = os.getpid()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"argus-{name}", daemon=True)
        self._thread.start()

    def do(self, call: Callable[[], None], limit_s: float, over: Callable[[], bool]) -> None:
        """Make a call on the thread, and wait for it.

        Errors: what the call raises; _Hangs where it takes longer than the limit, from when it
        began, or where `over` returns True before that.
        """
        if threading.current_thread() is self._thread:  # a tracker that logs a metric itself
            call()
            return
        context = copy_context()
        job = _Job(lambda: context.run(call))
        self._jobs.put(job)
        while not job.done.wait(limit_s if job.began is None else _left_s(job.began, limit_s)):
            if over() or (job.began is not None and _left_s(job.began, limit_s) <= 0):
                raise _Hangs
        if job.error is not None:
            if not isinstance(job.error, Exception):  # it would end the process
                raise TrackerExited(repr(job.error))
            raise job.error

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            job.began = time.monotonic()
            try:
                job.call()
            except BaseException as error:  # noqa: BLE001 - raised in the waiting thread
                job.error = error
            job.done.set()


class TrackerExited(Exception):
    """A tracker has raised an exception that would end the process, such as SystemExit."""


def _left_s(began: float, limit_s: float) -> float:
    return max(0.0, began + limit_s - time.monotonic())
