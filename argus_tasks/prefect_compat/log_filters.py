"""Prefect's own log lines that say nothing new, or the same over and over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


def is_transport_error(error: BaseException) -> bool:
    """Whether this says that a server cannot be reached; it is Prefect's HTTP client's error."""
    return any(
        kind.__name__ == "TransportError" and kind.__module__.startswith("httpx")
        for kind in type(error).__mro__
    )


@contextmanager
def quiet_task_runs() -> Iterator[None]:
    """Have Prefect log of task runs only what is wrong, instead of three lines each that all go to
    the server; a run has its log in its folder."""
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
    """Keep back the stack of a hundred lines with which Prefect says that a flow run's last state
    could not be set: the mirror has said in one line that the server is gone."""
    logger = logging.getLogger("prefect.flow_runs")
    logger.addFilter(_no_transport_error)
    try:
        yield
    finally:
        logger.removeFilter(_no_transport_error)


def _no_transport_error(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return error is None or not is_transport_error(error)
