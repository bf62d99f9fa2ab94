"""Filters for log lines of Prefect that repeat what is known."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


def is_transport_error(error: BaseException) -> bool:
    """Whether an error of Prefect's HTTP client means that the server cannot be reached."""
    return any(
        kind.__name__ == "TransportError" and kind.__module__.startswith("httpx")
        for kind in type(error).__mro__
    )


@contextmanager
def quiet_task_runs() -> Iterator[None]:
    """A context in which Prefect logs only warnings of task runs, instead of three lines for each,
    all of which go to the server; a run has its own log in its folder."""
    loggers = [logging.getLogger(name) for name in ("prefect.task_runs", "prefect.task_engine")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def quiet_about_a_gone_server() -> Iterator[None]:
    """A context without the stack trace of a hundred lines that Prefect logs when a flow run's last
    state could not be set: one line has said already that the server cannot be reached."""
    logger = logging.getLogger("prefect.flow_runs")
    logger.addFilter(_no_transport_error)
    try:
        yield
    finally:
        logger.removeFilter(_no_transport_error)


def _no_transport_error(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return error is None or not is_transport_error(error)
