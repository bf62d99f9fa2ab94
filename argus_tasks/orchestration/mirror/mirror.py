"""Prefect's server as a mirror of the sweep: not left behind, settled at the end, repaired later.

The run folders are right; the server is compared with them, and corrected.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from prefect.context import FlowRunContext, SettingsContext
from prefect.states import Crashed

from argus_tasks.base.deadline import Deadline
from argus_tasks.orchestration.mirror.backpressure import Backpressure
from argus_tasks.orchestration.mirror.settling import Progress, SettleReport, Settling
from argus_tasks.orchestration.prefect_api.expected_task_runs import (
    OPEN_TYPES,
    TERMINAL_TYPES,
    ExpectedRun,
    ServerDifferences,
    compare,
)
from argus_tasks.orchestration.prefect_api.prefect_server import (
    PrefectServer,
    asked_once,
    without_retries,
)
from argus_tasks.prefect_compat.client_patience import answer_within, connect_once
from argus_tasks.prefect_compat.event_relay import Relay
from argus_tasks.prefect_compat.settings_override import with_settings

log = logging.getLogger("argus_tasks.mirror")

EVENTS_A_RUN_WITHOUT_RELAY = 4.0
"""Pending, Running, the end, and what retries add."""


class Mirror:
    """The task runs of one flow run on Prefect's server.

    Args:
        flow_run_id: the flow run of the sweep.
        relay: what `Relay.install()` gave; None where Prefect's own client sends.
        flow_name: sweeps that run on the same server at once are counted by it: they share its
            broker.
        stopping: whether the sweep is being stopped, so that nothing is held back any more.
    """

    def __init__(
        self,
        flow_run_id: UUID,
        relay: Relay | None,
        *,
        flow_name: str = "sweep",
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._flow_run_id = flow_run_id
        self._relay = relay
        self._server = PrefectServer()
        self._backpressure = Backpressure(
            recorded=lambda: self._server.count(flow_run_id, TERMINAL_TYPES),
            sharing=lambda: self._server.running_flow_runs(flow_name),
            events_a_run=self._events_a_run,
            stopping=stopping,
        )

    def admit(self, submitted: int) -> None:
        """Return when one more task run may be submitted after so many; at once in all but the
        quickest sweeps. A server that does not move holds the sweep up for a time, once."""
        self._backpressure.admit(submitted)

    @property
    def held_s(self) -> float:
        """How long `admit` has held the sweep back so far."""
        return self._backpressure.held_s

    def settle(
        self,
        expected: Iterable[ExpectedRun],
        *,
        deadline: Deadline,
        progress: Progress | None = None,
    ) -> SettleReport:
        """Wait until the server has recorded the runs that have ended here, and put right what it
        lacks or has wrong. `progress` is called with (recorded, expected) a few times a second.

        Never raises for what the server does, and returns a few seconds after it has gone.
        """
        self._backpressure.close()
        self._server.deadline = deadline
        with without_retries():
            settling = Settling(
                self._server, self._flow_run_id, self._relay, list(expected), deadline, progress
            )
            return settling.run()

    def close(self) -> None:
        """Let the connections go."""
        self._backpressure.close()
        self._server.close()

    def _events_a_run(self, submitted: int) -> float:
        if self._relay is None:
            return EVENTS_A_RUN_WITHOUT_RELAY
        return max(1.0, self._relay.sent / max(submitted, 1))


def compare_flow_run(flow_run_id: UUID, expected: Iterable[ExpectedRun]) -> ServerDifferences:
    """Where the server and the ledger differ, nothing changed. Errors: ServerAway."""
    with asked_once(PrefectServer()) as server:
        return compare(expected, server.task_runs(flow_run_id))


@dataclass(frozen=True)
class RepairReport:
    """What was put right of an earlier flow run.

    Attributes:
        known: whether the server knows the flow run at all.
        flow_run_closed: whether it was shown as running, and is now closed.
        task_runs_closed: task runs that were shown as running and had not ended: Crashed now.
        settled: how the ended ones compare.
    """

    known: bool
    flow_run_closed: bool
    task_runs_closed: int
    settled: SettleReport | None


def repair_flow_run(
    flow_run_id: UUID,
    expected: Iterable[ExpectedRun] = (),
    *,
    message: str = "its process has gone; closed by argus-tasks",
    deadline_s: float = 60.0,
    flow_run_too: bool = True,
) -> RepairReport:
    """Close what a killed flow process left as Running, and bring its task runs in line.

    Call it only when its session is known to be over; `flow_run_too`: it has said how its flow run
    ended, or never will. Errors: ServerAway.
    """
    with asked_once(PrefectServer()) as server:
        shown = server.flow_run_state(flow_run_id)
        if shown is None:
            return RepairReport(False, False, 0, None)
        runs = list(expected)
        settled = None
        if runs:
            settling = Settling(server, flow_run_id, None, runs, Deadline(deadline_s), None)
            settled = settling.run(of_the_past=True)
        closed = _close_open_runs(server, flow_run_id, message)
        left_open = flow_run_too and shown not in TERMINAL_TYPES
        if left_open:
            server.set_flow_run_state(flow_run_id, Crashed(message=message))
        return RepairReport(True, left_open, closed, settled)


def _close_open_runs(server: PrefectServer, flow_run_id: UUID, message: str) -> int:
    closed = 0
    for row in list(server.task_runs(flow_run_id, OPEN_TYPES)):
        server.set_task_run_state(row.id, Crashed(message=message))
        closed += 1
    return closed


def make_the_last_calls_short(limit_s: float, *, retries: int = 0) -> None:
    """Called in a flow run that is over: Prefect then asks once more (with `retries`: so often
    again) to set the flow's last state, for so many seconds instead of minutes, and raises out of
    the flow's call where the server does not answer.

    It holds until the settings context around the flow's call ends: call such a flow within
    `with_settings(...)`.
    """
    context = SettingsContext.get()
    if context is not None:
        # entered and never left: what sets the state is the flow's engine, around us
        with_settings({"client.max_retries": retries}).__enter__()
    client = getattr(FlowRunContext.get(), "client", None)
    answer_within(client, limit_s)
    if not retries:
        connect_once(client)
