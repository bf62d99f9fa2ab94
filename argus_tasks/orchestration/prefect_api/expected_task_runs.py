"""What Prefect's server should know of a task run, as the sweep's own ledger has it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid5

from prefect.client.schemas.objects import State, StateType
from prefect.events import Event, RelatedResource

TERMINAL_TYPES = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
OPEN_TYPES = ("RUNNING", "PENDING", "SCHEDULED", "PAUSED", "CANCELLING")


TASK_NAME = "config"
"""The name of the Prefect task that a config becomes."""


@dataclass(frozen=True)
class ExpectedRun:
    """A task run that has ended.

    Attributes:
        task_run_id: None where it is not known any more; it is then found by its keys or its name.
        name: its name in Prefect.
        task_key: Prefect's key of the task.
        dynamic_key: what tells the runs of a task in one flow run apart; empty: not known.
        state_type: COMPLETED, FAILED, CANCELLED or CRASHED.
        state_name: `Completed`, `Skipped`, ...
        message: what the state says: cause and run directory.
        run_count: attempts.
        start_time: of the first attempt, aware.
        end_time: of the last one, aware.
    """

    task_run_id: UUID | None
    name: str
    task_key: str
    dynamic_key: str
    state_type: str
    state_name: str
    message: str
    run_count: int
    start_time: datetime | None
    end_time: datetime | None


@dataclass(frozen=True)
class ServerRun:
    """A task run as the server has it."""

    id: UUID
    name: str
    task_key: str
    dynamic_key: str
    state_type: str
    state_name: str

    def agrees_with(self, expected: ExpectedRun) -> bool:
        """Whether the server shows what the ledger says."""
        return (self.name, self.state_type, self.state_name) == (
            expected.name,
            expected.state_type,
            expected.state_name,
        )


@dataclass
class ServerDifferences:
    """Where the server and the ledger differ."""

    right: int = 0
    missing: list[ExpectedRun] = field(default_factory=list)
    wrong: list[tuple[ExpectedRun, ServerRun]] = field(default_factory=list)
    left_open: list[ServerRun] = field(default_factory=list)
    """Runs that the server shows as not ended, and that the ledger does not know as ended."""

    @property
    def agrees(self) -> bool:
        """Whether nothing is to be put right."""
        return not (self.missing or self.wrong or self.left_open)


def compare(expected: Iterable[ExpectedRun], shown: Iterable[ServerRun]) -> ServerDifferences:
    """Match by id, else by keys, else by a name that only one has, or one with the right state."""
    rows = list(shown)
    by_id = {row.id: row for row in rows}
    by_keys = {(row.task_key, row.dynamic_key): row for row in rows}
    by_name: dict[str, list[ServerRun]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    found = ServerDifferences()
    met: set[UUID] = set()
    for run in expected:
        row_found = (
            (by_id.get(run.task_run_id) if run.task_run_id else None)
            or by_keys.get((run.task_key, run.dynamic_key))
            or (_by_name(run, by_name.get(run.name, [])) if run.task_run_id is None else None)
        )
        if row_found is None or row_found.id in met:
            found.missing.append(run)
            continue
        met.add(row_found.id)
        if row_found.agrees_with(run):
            found.right += 1
        else:
            found.wrong.append((run, row_found))
    found.left_open = [
        row for row in rows if row.id not in met and row.state_type not in TERMINAL_TYPES
    ]
    return found


def _by_name(run: ExpectedRun, named: list[ServerRun]) -> ServerRun | None:
    """Of a run that we have made the server may hear late, and then has it twice."""
    if len(named) == 1:
        return named[0]
    return next((row for row in named if row.agrees_with(run)), None)


def as_state(run: ExpectedRun, note: str) -> State[None]:
    """The state to set, with a message that says who set it."""
    return State(type=StateType(run.state_type), name=run.state_name, message=_message(run, note))


def as_event(flow_run_id: UUID, run: ExpectedRun, row: ServerRun | None, note: str) -> Event:
    """The event of the run's last state, made again as Prefect's client makes it: a server takes
    it in a fraction of the time of a request, and keeps the times."""
    now = datetime.now(UTC)
    ended = run.end_time or now
    started = run.start_time or ended
    task_run_id = row.id if row else run.task_run_id or uuid5(flow_run_id, run.name)
    message = _message(run, note)
    return Event(
        event=f"prefect.task-run.{run.state_name}",
        # later than anything the server may have of it, where it has something
        occurred=now if row else ended,
        resource={
            "prefect.resource.id": f"prefect.task-run.{task_run_id}",
            "prefect.resource.name": run.name,
            "prefect.run-count": str(run.run_count),
            "prefect.state-message": message,
            "prefect.state-name": run.state_name,
            "prefect.state-timestamp": ended.isoformat(),
            "prefect.state-type": run.state_type,
            "prefect.orchestration": "client",
        },
        related=[
            RelatedResource(
                {
                    "prefect.resource.id": f"prefect.flow-run.{flow_run_id}",
                    "prefect.resource.role": "flow-run",
                }
            )
        ],
        payload={
            "intended": {"from": None, "to": run.state_type},
            "initial_state": None,
            "validated_state": {
                "type": run.state_type,
                "name": run.state_name,
                "message": message,
                "state_details": {},
                "data": None,
            },
            "task_run": {
                "name": run.name,
                "task_key": run.task_key,
                "dynamic_key": (row.dynamic_key if row else run.dynamic_key) or task_run_id.hex,
                "run_count": run.run_count,
                "start_time": started.isoformat(),
                "end_time": ended.isoformat(),
                "expected_start_time": started.isoformat(),
                "total_run_time": max(0.0, (ended - started).total_seconds()),
                "tags": [],
                "task_inputs": {},
            },
        },
    )


def _message(run: ExpectedRun, note: str) -> str:
    return f"{run.message} [{note}]" if run.message else f"[{note}]"
