"""Waits until the server has recorded a sweep's task runs; puts right what it then lacks."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from prefect.events import Event

from argus_tasks.base.deadline import Deadline
from argus_tasks.orchestration.prefect_api.expected_task_runs import (
    OPEN_TYPES,
    TERMINAL_TYPES,
    ExpectedRun,
    ServerDifferences,
    as_event,
    as_state,
    compare,
)
from argus_tasks.orchestration.prefect_api.prefect_server import PrefectServer, ServerAway
from argus_tasks.prefect_compat.event_coalescing import Item
from argus_tasks.prefect_compat.event_relay import Relay
from argus_tasks.prefect_compat.event_shipping import EventShipper

log = logging.getLogger("argus_tasks.mirror")

POLL_S = 0.05
LATER_POLL_S = 0.25
POLLED_OFTEN_S = 1.0
STALL_S = 5.0
"""Recorded nothing more for so long (five flushes of a stock server): the rest is not coming."""
LATE_S = 20.0
"""What began so long ago a server has recorded, if it was ever sent."""
AWAY_S = 4.0
"""Refused for so long, by what the relay has seen of it before: it is gone ..."""
LEAST_AWAY_S = 1.5
"""... but it gets so long at the end in any case."""
BUSY_S = 45.0
"""There, but not answering in time, for so long: as good as gone."""
CHUNK = 1000
REFUSED_IN_A_ROW = 3
NOTE = "put right by argus-tasks from the run's folder"

Progress = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class SettleReport:
    """How the server compares with the ledger after settling.

    Attributes:
        recorded: task runs that the server had recorded by itself, rightly.
        made: those it lacked, made by us.
        mended: those it had in another state, set right by us.
        unmirrored: those it still lacks or has wrong.
        left_open: those that it shows as running, and that have not ended here either.
        reachable: False where the server was gone.
        seconds: how long it took.
    """

    recorded: int
    made: int
    mended: int
    unmirrored: int
    left_open: int
    reachable: bool
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether the server is known to show what the ledger says, and nothing besides."""
        return self.reachable and not self.unmirrored and not self.left_open


class Settling:
    """One comparison of a flow run with the server, corrected there; call `run` once."""

    def __init__(
        self,
        server: PrefectServer,
        flow_run_id: UUID,
        relay: Relay | None,
        expected: Sequence[ExpectedRun],
        deadline: Deadline,
        progress: Progress | None,
    ) -> None:
        self._server = server
        self._flow_run_id = flow_run_id
        self._relay = relay
        self._expected = expected
        self._begun = time.monotonic()
        self._deadline = deadline
        self._progress = progress or (lambda _recorded, _expected: None)
        self._recorded = 0

    def run(self, *, of_the_past: bool = False) -> SettleReport:
        """Never raises for what the server does; what cannot be done is counted.

        `of_the_past`: nothing more is coming but what was sent just before its process died.
        """
        try:
            self._wait_for_all(0.0 if of_the_past else STALL_S)
            if self._counts_agree():
                return self._report(ServerDifferences(right=len(self._expected)))
            found = self._compare()
            if of_the_past and any(map(_began_lately, found.missing)):
                self._wait_for_all(STALL_S)
                found = self._compare()
            before = found
            if self._time_left():
                self._resend(found)
                found = self._compare()
            if self._time_left() and not found.agrees:
                self._one_by_one(found)
                found = self._compare()
        except ServerAway as error:
            log.warning("%s; the mirror is put right at the next start", error)
            unmirrored = len(self._expected) - min(self._recorded, len(self._expected))
            return SettleReport(
                self._recorded, 0, 0, unmirrored, 0, False, time.monotonic() - self._begun
            )
        return self._report(before, found)

    def _report(
        self, before: ServerDifferences, after: ServerDifferences | None = None
    ) -> SettleReport:
        after = after or before
        still_missing = len(after.missing)
        still_wrong = len(after.wrong)
        return SettleReport(
            recorded=before.right,
            made=max(0, len(before.missing) - still_missing),
            mended=max(0, len(before.wrong) - still_wrong),
            unmirrored=still_missing + still_wrong,
            left_open=len(after.left_open),
            reachable=True,
            seconds=time.monotonic() - self._begun,
        )

    def _time_left(self) -> float:
        return self._deadline.left_s()

    def _wait_for_all(self, stall_s: float) -> None:
        """Return when as many have ended on the server as here, or no more are coming: it has
        recorded nothing for `stall_s`.

        Errors: ServerAway where it is gone.
        """
        wanted = len(self._expected)
        drained = self._relay is None or self._relay.drain(min(0.5, self._time_left()))
        answered_at = changed_at = time.monotonic()
        if self._relay is not None and self._relay.away_since is not None:
            answered_at = max(self._relay.away_since, answered_at - AWAY_S + LEAST_AWAY_S)
        last = -1
        while True:
            now = time.monotonic()
            try:
                self._recorded = self._server.count(self._flow_run_id, TERMINAL_TYPES)
                answered_at = now
            except ServerAway as error:
                limit_s = BUSY_S if error.busy else AWAY_S
                if now - answered_at >= limit_s or not self._time_left():
                    raise
            if self._recorded > last >= 0:
                self._deadline.progressed()
            if self._recorded != last or not drained:
                last, changed_at = self._recorded, now
            self._progress(min(self._recorded, wanted), wanted)
            if self._recorded >= wanted or now - changed_at >= stall_s or not self._time_left():
                return
            if not drained and self._relay is not None:
                drained = self._relay.drain(min(0.5, self._time_left()))
            else:
                quick = now - self._begun < POLLED_OFTEN_S
                time.sleep(min(POLL_S if quick else LATER_POLL_S, self._time_left()))

    def _counts_agree(self) -> bool:
        wanted = Counter((run.state_type, run.state_name) for run in self._expected)
        if self._recorded != len(self._expected):
            return False
        if self._patiently(lambda: self._server.count(self._flow_run_id, OPEN_TYPES)):
            return False
        return all(
            self._patiently(partial(self._server.count, self._flow_run_id, (state_type,), name))
            == number
            for (state_type, name), number in wanted.items()
        )

    def _compare(self) -> ServerDifferences:
        return self._patiently(
            lambda: compare(self._expected, self._server.task_runs(self._flow_run_id))
        )

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask again where the server is only busy. Errors: ServerAway."""
        begun = time.monotonic()
        while True:
            try:
                return ask()
            except ServerAway as error:
                spent_s = time.monotonic() - begun
                if not error.busy or spent_s >= BUSY_S or not self._time_left():
                    raise

    def _resend(self, found: ServerDifferences) -> None:
        """Send the last state of what is missing or wrong once more, a bit at a time."""
        events = [as_event(self._flow_run_id, run, None, NOTE) for run in found.missing]
        events += [as_event(self._flow_run_id, run, row, NOTE) for run, row in found.wrong]
        if events:
            log.info("Prefect's server lacks %d task runs of this sweep: sent again", len(events))
        for begin in range(0, len(events), CHUNK):
            if not self._time_left():
                return
            if not _send(events[begin : begin + CHUNK], self._time_left()):
                return
            self._wait_for_all(STALL_S)

    def _one_by_one(self, found: ServerDifferences) -> None:
        """Put right by a request each what sending again has not."""
        refused = 0
        for run, row in [*((run, None) for run in found.missing), *found.wrong]:
            if not self._time_left() or refused >= REFUSED_IN_A_ROW:
                return
            try:
                if row is None:
                    self._server.make_task_run(self._flow_run_id, run, NOTE)
                else:
                    self._server.set_task_run_state(row.id, as_state(run, NOTE))
            except ServerAway:
                refused += 1
            else:
                refused = 0


def _began_lately(run: ExpectedRun) -> bool:
    """Whether the server may only not have come to it yet."""
    return run.start_time is not None and datetime.now(UTC) - run.start_time < timedelta(
        seconds=LATE_S
    )


def _send(events: Sequence[Event], limit_s: float) -> bool:
    """On a thread: the caller's may have an event loop already (a notebook's has)."""
    answer: list[bool] = []
    context = copy_context()
    sending = threading.Thread(
        target=context.run,
        args=(lambda: answer.append(asyncio.run(_ship(events, limit_s))),),
        daemon=True,
    )
    sending.start()
    sending.join(limit_s)
    return bool(answer and answer[0])


async def _ship(events: Sequence[Event], limit_s: float) -> bool:
    shipper = EventShipper()
    for event in events:
        shipper.add(Item(event))
    deadline = time.monotonic() + limit_s
    try:
        while shipper.waiting and time.monotonic() < deadline:
            await shipper.ship()
            if shipper.paused():
                await asyncio.sleep(0.1)
        return await shipper.confirm()
    finally:
        await shipper.close()
