"""What a monitor was told of trainings, and someone who presses its stop button."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.argus_server import ArgusServer
from tests.support.monitor_rows import assert_reported_well, jobs_reported


def batches(monitor: ArgusServer) -> list[str]:
    """The batches, in the order in which they were opened."""
    return list(dict.fromkeys(str(row["batch_id"]) for row in monitor.rows()))


def points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The data of a job's epochs."""
    return [row["data"] for row in rows if row["event_type"] == "job_epoch"]


def only_job(monitor: ArgusServer, batch_id: str | None = None) -> list[dict[str, Any]]:
    """The rows of a batch's only job, the batch told of as it must be."""
    if batch_id is None:
        (batch_id,) = batches(monitor)
    assert_reported_well(monitor, batch_id)
    (rows,) = jobs_reported(monitor, batch_id).values()
    return rows


@contextmanager
def stop_pressed(monitor: ArgusServer, jobs: int = 1) -> Iterator[None]:
    """Somebody who presses the stop button when so many jobs have come to their second epoch."""

    over = threading.Event()

    def press() -> None:
        while not over.wait(0.1):
            epochs = monitor.rows(event_type="job_epoch")
            if len({row["job_id"] for row in epochs if row["data"]["epoch"] == 1}) >= jobs:
                monitor.press_stop(batches(monitor)[-1], by="alice")
                return

    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
