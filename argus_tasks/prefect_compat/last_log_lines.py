"""Sends the log lines that Prefect has not sent yet when a sweep ends."""

from __future__ import annotations

from concurrent.futures import wait
from importlib import import_module
from typing import Any

from prefect.logging.handlers import APILogWorker

from argus_tasks.base.guard import guarded
from argus_tasks.prefect_compat.hook import Hook


@guarded(default=None)
def send_the_last_lines(limit_s: float) -> None:
    """Wait at most this long until Prefect's server has them. The rest is discarded: Prefect
    itself waits at the exit of the process, for minutes where the server hangs. Nothing happens
    where Prefect's log service has changed inside."""
    if HOOK.stands_back() is not None:
        return
    workers = [each for each in list(_instances().values()) if isinstance(each, APILogWorker)]
    sent = {worker._drain(): worker for worker in workers}
    for late in wait(sent, limit_s).not_done:
        worker = sent[late]
        assert worker._loop is not None
        assert worker._done_event is not None
        worker._loop.call_soon_threadsafe(worker._done_event.set)


def _service() -> Any:
    return import_module("prefect._internal.concurrency.services")._QueueServiceBase


def _instances() -> dict[int, Any]:
    found: dict[int, Any] = vars(_service())["_instances"]
    return found


def _probe() -> str | None:
    if not isinstance(_instances(), dict):
        return "it keeps its log service elsewhere"
    has = {*vars(_service()), *_service().__init__.__code__.co_names}
    missing = [name for name in ("_drain", "_done_event", "_loop") if name not in has]
    return f"its log service has no {', '.join(missing)}" if missing else None


HOOK = Hook(
    name="last log lines",
    does="waits for a limited time until the server has the last log lines",
    without="Prefect waits for them at exit, for minutes where the server hangs",
    gain="the exit of a sweep whose server hangs (3.8.8)",
    proven="3.8.8",
    probe=_probe,
)
