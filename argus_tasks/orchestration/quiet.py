"""Prefect's own log lines for each task run: three a config, each sent to the server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_task_runs() -> Iterator[None]:
    """Have Prefect log of task runs only what is wrong; a run has its log in its folder."""
    loggers = [logging.getLogger(name) for name in ("prefect.task_runs", "prefect.task_engine")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
