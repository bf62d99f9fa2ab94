"""The lines that Prefect has logged and not sent yet, when a sweep is over."""

from __future__ import annotations

from concurrent.futures import wait
from typing import Any

from argus_tasks.base.guard import guarded


@guarded(default=None)
def send_the_last_lines(limit_s: float) -> None:
    """Wait so long until Prefect's server has them. What it has not then, is given up: Prefect
    itself waits at the exit of the process, for minutes where the server hangs. Nothing happens
    where its inside has changed."""
    from prefect._internal.concurrency import services
    from prefect.logging.handlers import APILogWorker

    instances: dict[int, Any] = vars(services._QueueServiceBase)["_instances"]
    workers = [each for each in list(instances.values()) if isinstance(each, APILogWorker)]
    sent = {worker._drain(): worker for worker in workers}
    for late in wait(sent, limit_s).not_done:
        worker = sent[late]
        assert worker._loop is not None
        assert worker._done_event is not None
        worker._loop.call_soon_threadsafe(worker._done_event.set)
