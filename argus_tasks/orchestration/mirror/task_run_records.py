"""The task runs of a sweep, as they ended here: what Prefect's server is compared with at the end.

The ledger has the same ends, but not the ids that Prefect has given to its task runs.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import State, TaskRun

from argus_tasks.orchestration.prefect_api.expected_task_runs import ExpectedRun


@dataclass(frozen=True, slots=True)
class _Start:
    task_run_id: UUID
    task_key: str
    dynamic_key: str
    run_count: int
    first_start: datetime


class TaskRunRecords:
    """Notes each attempt that starts and each task run that ends; safe from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: dict[str, _Start] = {}
        self._ends: list[ExpectedRun] = []

    def started(self, name: str, task_run: TaskRun) -> None:
        """An attempt of the task run of this name starts."""
        with self._lock:
            before = self._starts.get(name)
            self._starts[name] = _Start(
                task_run.id,
                task_run.task_key,
                task_run.dynamic_key,
                task_run.run_count,
                before.first_start if before else datetime.now(UTC),
            )

    def ended(self, name: str, state: State[Any] | None) -> None:
        """The task run of this name has ended in this state; one that never started is none."""
        with self._lock:
            start = self._starts.pop(name, None)
            if start is None or state is None:
                return
            self._ends.append(
                ExpectedRun(
                    task_run_id=start.task_run_id,
                    name=name,
                    task_key=start.task_key,
                    dynamic_key=start.dynamic_key,
                    state_type=state.type.value,
                    state_name=state.name or state.type.value.capitalize(),
                    message=state.message or "",
                    run_count=start.run_count,
                    start_time=start.first_start,
                    end_time=state.timestamp,
                )
            )

    @property
    def expected(self) -> list[ExpectedRun]:
        """What the server should know."""
        with self._lock:
            return list(self._ends)
