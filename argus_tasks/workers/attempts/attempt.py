"""One attempt of one run, wherever it executes: in a worker, on a thread, in the caller."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from argus_tasks.base import interrupts
from argus_tasks.base.errors import SkipRun
from argus_tasks.base.redact import redact_cut, secrets_of
from argus_tasks.base.visible import visible
from argus_tasks.experiments.experiment import ExperimentFunction
from argus_tasks.runs.context.run_context import RunContext, Tracker, running
from argus_tasks.runs.context.run_log import RunLog, run_logger
from argus_tasks.runs.context.trial_reports import NoSearch, SearchTrial
from argus_tasks.runs.record import causes
from argus_tasks.runs.record.hashes import hashes_of
from argus_tasks.runs.record.layout import FAILED, RUN_LOG, SKIPPED, SUCCEEDED
from argus_tasks.runs.record.run_record import Ending, RunRecord, stopped_ending
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.attempts.reported_attempt import Watch, watched
from argus_tasks.workers.attempts.resource_usage import Used
from argus_tasks.workers.attempts.stop_flag import StopFlag

_SHOWN_METRICS = 100
_LONGEST_MESSAGE = 10_000
_LONGEST_STACK = 200_000


# What experiments raise that were written for Optuna: it is known by its name, not imported.
_OPTUNAS_OWN = "TrialPruned"

Capture = Callable[[RunLog], AbstractContextManager[None]]


def run_attempt(
    assignment: Assignment,
    function: ExperimentFunction,
    *,
    trackers: Sequence[Tracker],
    stop: StopFlag,
    capture: Capture | None,
    disowned: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run the experiment once and write its folder; once `disowned`, nothing more is written.

    Whatever the experiment raises is an outcome: a SystemExit is its own end and nobody else's,
    a KeyboardInterrupt a stop where one was asked for. Where the folder itself cannot be written,
    the outcome says so.
    """
    started = time.monotonic()
    used = Used(assignment.key.owner or {})
    with watched(assignment, stop, disowned, used, alone=capture is not None) as watch:
        try:
            outcome = _attempt(
                assignment, function, trackers, stop, capture, disowned, started, watch, used
            )
        except OSError as error:
            outcome = outcome_of_exception(
                error, time.monotonic() - started, secrets_of(assignment.config)
            )
            return watch.sign(replace(outcome, unwritten=True), 0)
    return replace(outcome, files={}) if disowned() else outcome


def _attempt(
    assignment: Assignment,
    function: ExperimentFunction,
    trackers: Sequence[Tracker],
    stop: StopFlag,
    capture: Capture | None,
    disowned: Callable[[], bool],
    started: float,
    watch: Watch,
    used: Used,
) -> Outcome:
    process = os.getpid()
    record = RunRecord(assignment.key, assignment.meta)
    if assignment.attempt > 1 or assignment.resumed:
        record.resume()
    nonfinite = record.open(assignment.config)
    record.running()
    with ExitStack() as stack:
        log = RunLog(f"{assignment.key.run_dir}/{RUN_LOG}", assignment.config)
        stack.callback(log.close)
        ctx = RunContext(
            assignment.key.run_id,
            Path(assignment.key.run_dir),
            deepcopy(assignment.config),
            run_logger(assignment.key.run_id, log),
            assignment.meta,
            assignment.attempt,
            assignment.resumed,
            trackers,
            stop.is_set,
            _sink=watch.sink,
            _trial=_trial_of(assignment),
        )
        stack.callback(ctx._close)
        used.below = ctx._below
        if nonfinite:
            ctx.logger.warning("config.json: not finite, written as null: %s", nonfinite)
        if assignment.attempt == 1 or assignment.resumed:
            _tell(trackers, ctx, lambda tracker: tracker.on_run_start(ctx, ctx.meta))
            record.event("start")
        raised: BaseException | None = None
        result: object = None
        metrics: dict[str, float] = {}
        try:
            if capture is not None:
                with capture(log):
                    result = _called(function, ctx)
            else:
                result = _called(function, ctx)
        except BaseException as error:  # noqa: BLE001 - everything that ends a run is recorded
            raised = error
        if os.getpid() != process:
            os._exit(raised is not None)  # a fork of the experiment's: the run is not its own
        if assignment.lost:
            return claim_lost()
        if disowned():
            return Outcome(stopped_ending(stop.by()))
        if raised is None:
            try:
                metrics = _written(record, ctx.logger, result)
            except BaseException as error:  # noqa: BLE001 - so is what its result cannot be
                raised = error
        duration_s = time.monotonic() - started
        if ctx._saw_stop or (isinstance(raised, KeyboardInterrupt) and stop.is_set()):
            outcome = _stopped(stop, raised, duration_s, secrets_of(assignment.config))
        elif _is_pruned(ctx, raised):
            if result is None and (last := ctx._trial.last()) is not None:
                metrics = _written(record, ctx.logger, {last[0]: last[2]})
            outcome = _pruned(ctx, metrics, duration_s)
        elif raised is None:
            outcome = Outcome(Ending(SUCCEEDED), metrics=metrics, duration_s=duration_s)
        else:
            outcome = outcome_of_exception(raised, duration_s, secrets_of(assignment.config))
        record.resources = used.taken()
        _close(record, assignment, ctx, outcome, trackers)
    files = hashes_of(assignment.key.run_dir, record.hashes)
    return watch.sign(replace(outcome, files=files), ctx._epochs)


def claim_lost() -> Outcome:
    """The outcome of an attempt whose config another has taken over in the meantime."""
    message = "another sweep has taken this run over"
    return Outcome(Ending(FAILED, causes.CLAIM_LOST, "ClaimLost", message, resumable=True))


def _trial_of(assignment: Assignment) -> NoSearch | SearchTrial:
    link = assignment.trial
    return NoSearch() if link is None else SearchTrial(assignment.key.run_dir, link)


def _is_pruned(ctx: RunContext, raised: BaseException | None) -> bool:
    if type(raised).__name__ == _OPTUNAS_OWN:
        return True
    return ctx._saw_prune and (raised is None or isinstance(raised, SkipRun))


def _pruned(ctx: RunContext, metrics: dict[str, float], duration_s: float) -> Outcome:
    last = ctx._trial.last()
    message = "pruned" if last is None else f"pruned at step {last[1]}: {last[0]} {last[2]:.6g}"
    ending = Ending(SKIPPED, causes.PRUNED, "Pruned", message)
    return Outcome(ending, metrics=metrics, duration_s=duration_s)


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a result's top level, the first hundred."""
    numbers: dict[str, float] = {}
    for key, value in metrics.items():
        if len(numbers) >= _SHOWN_METRICS:
            break
        if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
            continue
        try:
            number = float(value)
        except Exception:  # noqa: BLE001 - a user's object
            continue
        if number - number == 0:
            numbers[str(key)] = number
    return numbers


def _called(function: ExperimentFunction, ctx: RunContext) -> object:
    with running.inside(ctx), interrupts.raising():
        result: object = function(ctx)
        if not isinstance(result, Coroutine):
            return result
        import asyncio
        from concurrent.futures import ThreadPoolExecutor
        from contextvars import copy_context

        # On a thread of its own: in a notebook the caller's own one has a loop running.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(copy_context().run, asyncio.run, result).result()


def _written(record: RunRecord, logger: logging.Logger, result: object) -> dict[str, float]:
    if result is None:
        return {}
    if not isinstance(result, Mapping):
        raise TypeError(
            f"the experiment returned {type(result).__name__}; expected a dict of metrics or None"
        )
    nonfinite = record.metrics(result)
    if nonfinite:
        logger.warning("metrics.json: not finite, written as null: %s", nonfinite)
    return numbers_of(result)


def _stopped(
    stop: StopFlag, raised: BaseException | None, duration_s: float, secrets: Sequence[str]
) -> Outcome:
    stack = "" if raised is None else _stack(raised, raised.__traceback__, secrets)
    return Outcome(stopped_ending(stop.by()), stack=stack, duration_s=duration_s)


def outcome_of_exception(
    error: BaseException, duration_s: float, secrets: Sequence[str] = ()
) -> Outcome:
    """The outcome of an attempt that ended by this exception, in plain texts without secrets: the
    exception itself may be such that it cannot be shown, or sent anywhere."""
    name = type(error).__name__
    try:
        message = _plain(str(error), _LONGEST_MESSAGE, secrets)
    except BaseException:  # noqa: BLE001 - a user's exception
        message = f"<a {name} that cannot be shown>"
    if isinstance(error, SkipRun):
        return Outcome(Ending(SKIPPED, causes.SKIPPED, name, message), duration_s=duration_s)
    cause = causes.of_exception(error)
    kinds = tuple(dict.fromkeys((cause, *(kind.__name__ for kind in type(error).__mro__))))
    # The frames of our own call are cut: the user's code is what the reader looks for.
    inner = error.__traceback__
    while inner is not None and inner.tb_frame.f_code.co_filename == __file__:
        inner = inner.tb_next
    if isinstance(error, causes.NamedFailure):
        stack = _plain(error.evidence, _LONGEST_STACK, secrets)
    else:
        stack = _stack(error, inner or error.__traceback__, secrets)
    return Outcome(Ending(FAILED, cause, name, message), kinds, stack, duration_s=duration_s)


def _stack(error: BaseException, innermost: TracebackType | None, secrets: Sequence[str]) -> str:
    try:
        text = "".join(traceback.format_exception(type(error), error, innermost))
    except BaseException:  # noqa: BLE001 - a user's exception
        text = "".join(traceback.format_tb(innermost)) + type(error).__name__
    return _plain(text, _LONGEST_STACK, secrets)


def _plain(text: str, longest: int, secrets: Sequence[str]) -> str:
    """Of exactly the type `str`, writable as UTF-8, without secrets or what a terminal acts on, its
    middle cut out where it is long."""
    plain = str.__str__(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return visible(redact_cut(plain, longest, secrets))


def _close(
    record: RunRecord,
    assignment: Assignment,
    ctx: RunContext,
    outcome: Outcome,
    trackers: Sequence[Tracker],
) -> None:
    ending = outcome.ending
    facts = {
        "attempt": assignment.attempt,
        "error_type": ending.error_type,
        "error_message": ending.error_message,
    }
    if ending.status == SKIPPED:
        ctx.logger.warning("skipped: %s", ending.error_message)
        record.event("skip", attempt=assignment.attempt, reason=ending.error_message)
    elif ending.status == FAILED:
        retrying = assignment.retry.wants(outcome.kinds, assignment.attempt)
        again = ", to be tried again" if retrying else ""
        ctx.logger.error("attempt %s failed%s\n%s", assignment.attempt, again, outcome.stack)
        record.event("retry" if retrying else "error", **facts)
        if retrying:
            record.close(ending, outcome.duration_s)
            return
        record.error(outcome.stack or str(ending.error_message))
    summary = record.close(ending, outcome.duration_s)
    record.event("end", summary=summary)
    _tell(trackers, ctx, lambda tracker: tracker.on_run_end(ctx, summary))


def _tell(trackers: Sequence[Tracker], ctx: RunContext, call: Callable[[Tracker], None]) -> None:
    for tracker in trackers:
        try:
            call(tracker)
        except Exception as error:  # noqa: BLE001 - a tracker never ends a run
            ctx.logger.warning("%s failed: %r", type(tracker).__name__, error)
