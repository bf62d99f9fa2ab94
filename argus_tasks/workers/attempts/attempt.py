"""Executes one attempt of one run, in a worker, on a thread, or in the caller's process."""

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
from argus_tasks.base.jsonable import fields_of, simplify, to_jsonable
from argus_tasks.base.nested import flatten
from argus_tasks.base.redact import redact_cut, secrets_of
from argus_tasks.base.visible import visible
from argus_tasks.experiments.experiment import ExperimentFunction
from argus_tasks.experiments.script import Script
from argus_tasks.provenance.collection import CodeCollector
from argus_tasks.runs.context.run_context import RunContext, Tracker, running
from argus_tasks.runs.context.run_log import RunLog, run_logger
from argus_tasks.runs.context.trial_reports import NoSearch, SearchTrial
from argus_tasks.runs.record import causes
from argus_tasks.runs.record.hashes import hashes_of
from argus_tasks.runs.record.layout import FAILED, RUN_LOG, SKIPPED, SUCCEEDED
from argus_tasks.runs.record.run_record import Ending, RunRecord, stopped_ending
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.attempts.reported_attempt import AttemptReport, attempt_report
from argus_tasks.workers.attempts.resource_usage import ResourceUsage
from argus_tasks.workers.attempts.stop_flag import StopFlag

_SHOWN_METRICS = 100
_LONGEST_MESSAGE = 10_000
_LONGEST_STACK = 200_000


# Experiments written for Optuna raise this class, which is recognized by name, not imported.
_OPTUNAS_OWN = "TrialPruned"

Capture = Callable[[RunLog], AbstractContextManager[None]]


def run_attempt(
    assignment: Assignment,
    function: ExperimentFunction,
    *,
    trackers: Sequence[Tracker],
    stop: StopFlag,
    capture: Capture | None,
    abandoned: Callable[[], bool] = lambda: False,
    code: CodeCollector | None = None,
) -> Outcome:
    """Run the experiment once, and write the run's folder.

    Whatever the experiment raises becomes an outcome, SystemExit included; a KeyboardInterrupt
    counts as a stop if a stop was requested. If the folder cannot be written, the outcome says so
    (`unwritten`).

    Args:
        assignment: the attempt.
        function: the experiment.
        trackers: called at the start, the metrics and the end.
        stop: whether the sweep is being stopped.
        capture: redirects what the experiment prints into the run's log; None where that is
            impossible.
        abandoned: whether the caller has given up this attempt; then nothing more is written.
        code: records the code that it executes; None for nothing.
    """
    started = time.monotonic()
    used = ResourceUsage(assignment.key.owner or {})
    with attempt_report(assignment, stop, abandoned, used, alone=capture is not None) as report:
        try:
            outcome = _attempt(
                assignment,
                function,
                trackers,
                stop,
                capture,
                abandoned,
                started,
                report,
                used,
                code,
            )
        except OSError as error:
            outcome = outcome_of_exception(
                error, time.monotonic() - started, secrets_of(assignment.config)
            )
            return report.add_to(replace(outcome, unwritten=True), 0)
    return replace(outcome, files={}) if abandoned() else outcome


def _attempt(
    assignment: Assignment,
    function: ExperimentFunction,
    trackers: Sequence[Tracker],
    stop: StopFlag,
    capture: Capture | None,
    abandoned: Callable[[], bool],
    started: float,
    report: AttemptReport,
    used: ResourceUsage,
    code: CodeCollector | None,
) -> Outcome:
    process = os.getpid()
    record = RunRecord(assignment.key, assignment.meta)
    if assignment.attempt > 1 or assignment.resumed:
        record.resume()
    nonfinite = record.open(assignment.config)
    if code is not None:
        begun = code.begin()
        if isinstance(function, Script):
            function = replace(function, recorder=code.recorder)
        else:  # what a script executes is not known before it has
            record.manifest = begun
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
            _sink=report.sink,
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
            os._exit(
                raised is not None
            )  # a process that the experiment has forked must not write the run's folder
        if assignment.lost:
            return claim_lost()
        if abandoned():
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
            odd = tuple(record.nonfinite)
            outcome = Outcome(
                Ending(SUCCEEDED), metrics=metrics, not_finite=odd, duration_s=duration_s
            )
        else:
            outcome = outcome_of_exception(raised, duration_s, secrets_of(assignment.config))
        record.resources = used.taken()
        if code is not None:
            record.manifest = code.end(of_command=isinstance(function, Script))
            outcome = replace(outcome, manifest=record.manifest)
            if code.failed is not None:
                ctx.logger.warning("the code of this run is not recorded: %s", code.failed)
        _close(record, assignment, ctx, outcome, trackers)
    files = hashes_of(assignment.key.run_dir, record.hashes)
    return report.add_to(replace(outcome, files=files), ctx._epochs)


def claim_lost() -> Outcome:
    """The outcome of an attempt whose config was taken over by another sweep in the meantime."""
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
    """The finite numbers at the top level of a result; at most the first hundred."""
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

        # On a new thread: in a notebook, the caller's thread already runs an event loop.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(copy_context().run, asyncio.run, result).result()


def _written(record: RunRecord, logger: logging.Logger, result: object) -> dict[str, float]:
    if result is None:
        return {}
    metrics = metrics_of(result)
    nonfinite = record.metrics(metrics)
    if nonfinite:
        logger.warning("metrics.json: not finite, written as null: %s", nonfinite)
    others = [
        f"{key} ({type(value).__name__})"
        for key, value in flatten(metrics).items()
        if type(value) not in (int, float, bool) and isinstance(to_jsonable(value), str | list)
    ]
    if others:
        logger.info("metrics.json: no numbers, so nothing ranks them: %s", ", ".join(others))
    return numbers_of(metrics)


def metrics_of(result: object) -> Mapping[str, Any]:
    """The metrics that an experiment has returned: a mapping, the fields of a dataclass or pydantic
    model, or a number, which is the metric `objective`.

    Raises:
        TypeError: the result is none of these.
    """
    if isinstance(result, Mapping):
        return result
    found = fields_of(result)
    if found is not None:
        return found
    plain, _ = simplify(result)
    if isinstance(plain, int | float) and not isinstance(plain, bool):
        return {"objective": plain}
    raise TypeError(
        f"the experiment returned {type(result).__name__}; expected a dict of metrics, a number or"
        " None"
    )


def _stopped(
    stop: StopFlag, raised: BaseException | None, duration_s: float, secrets: Sequence[str]
) -> Outcome:
    stack = "" if raised is None else _stack(raised, raised.__traceback__, secrets)
    return Outcome(stopped_ending(stop.by()), stack=stack, duration_s=duration_s)


def outcome_of_exception(
    error: BaseException, duration_s: float, secrets: Sequence[str] = ()
) -> Outcome:
    """The outcome of an attempt that ended with this exception.

    It contains plain texts without secrets, since the exception itself may be impossible to print
    or to send to another process.
    """
    name = type(error).__name__
    try:
        message = _plain(str(error), _LONGEST_MESSAGE, secrets)
    except BaseException:  # noqa: BLE001 - a user's exception
        message = f"<a {name} that cannot be shown>"
    if isinstance(error, SkipRun):
        return Outcome(Ending(SKIPPED, causes.SKIPPED, name, message), duration_s=duration_s)
    cause = causes.of_exception(error)
    kinds = tuple(dict.fromkeys((cause, *(kind.__name__ for kind in type(error).__mro__))))
    # The frames of this module are cut off: the reader looks for the user's code.
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
    """A plain `str` that can be written as UTF-8, without secrets or terminal control codes, and
    with its middle cut out if it is too long."""
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
        retrying = outcome.is_retried(assignment.retry, assignment.attempt)
        again = ", to be retried" if retrying else ""
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
