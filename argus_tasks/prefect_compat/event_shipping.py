"""Sends events to Prefect's server: reconnects, sends again, and never gives up.

Only the relay's thread comes in here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from prefect.events import Event
from prefect.events.clients import EventsClient, get_events_client

from argus_tasks.prefect_compat.event_coalescing import Item
from argus_tasks.prefect_compat.related_resources import RelatedResources
from argus_tasks.prefect_compat.state_change import StateChange

log = logging.getLogger("argus_tasks.relay")

CHECKPOINT_EVERY = 100
CALL_LIMIT_S = 10.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
BATCH = 50
GATHER = 100
GATHER_S = 1.0
"""Seconds that events wait to be sent together: the server needs several times as much CPU for
single events as for events in batches of a hundred."""
MAX_WAITING = 20_000


class EventShipper:
    """The events that wait to be sent, and the connection that sends them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.waiting: deque[Item] = deque()
        self.sent = 0
        self._client: EventsClient | None = None
        self._unsure: deque[Item] = deque(maxlen=CHECKPOINT_EVERY + 1)
        self._first_at = 0.0
        self._emptying = False
        self._pause_s = FIRST_PAUSE_S
        self._next_try = 0.0
        self._warned = False
        self._related = RelatedResources()
        self.away_since: float | None = None
        """When the server stopped answering (by time.monotonic()); None while it can be reached."""

    def add(self, item: Item) -> None:
        """Queue an item. Beyond `MAX_WAITING` the oldest is dropped, to bound memory;
        the end of the sweep corrects what the server then lacks."""
        if not self.waiting:
            self._first_at, self._emptying = self._clock(), False
        self.waiting.append(item)
        if len(self.waiting) > MAX_WAITING:
            self.waiting.popleft()

    def due(self) -> bool:
        """Whether enough items wait, or have waited long enough; then True until all are sent."""
        if len(self.waiting) >= GATHER or self._clock() - self._first_at >= GATHER_S:
            self._emptying = True
        return bool(self.waiting) and self._emptying

    def paused(self) -> bool:
        """Whether the server could not be reached a moment ago."""
        return self._clock() < self._next_try

    async def ship(self) -> None:
        """Send the next batch, unless the server could not be reached a moment ago."""
        if not self.waiting or self.paused():
            return
        try:
            await asyncio.wait_for(self._ship_batch(await self._connected()), CALL_LIMIT_S)
        except Exception as error:  # noqa: BLE001 - whatever the network raises: later again
            await self._lost_connection(error)
        else:
            self._pause_s = FIRST_PAUSE_S
            self._warned = False
            self.away_since = None

    async def confirm(self) -> bool:
        """Close the connection in order; returns whether the server has received everything."""
        client, self._client = self._client, None
        if client is None:
            return not self.waiting
        try:
            await asyncio.wait_for(client.__aexit__(None, None, None), CALL_LIMIT_S)
        except Exception as error:  # noqa: BLE001
            await self._lost_connection(error)
            return False
        self._unsure.clear()
        return not self.waiting

    async def close(self) -> None:
        """Close the connections."""
        await self.confirm()
        await self._related.close()

    async def _connected(self) -> EventsClient:
        if self._client is None:
            client = get_events_client(reconnection_attempts=0, checkpoint_every=CHECKPOINT_EVERY)
            await asyncio.wait_for(client.__aenter__(), CALL_LIMIT_S)
            self._client = client
        return self._client

    async def _ship_batch(self, client: EventsClient) -> None:
        for _ in range(min(BATCH, len(self.waiting))):
            item = self.waiting[0]
            event = _made(item)
            if event is None:
                self.waiting.popleft()
                continue
            if item.context is not None:
                await self._related.attach(event, item.context)
                item.context = None
            await client.emit(event)
            self.waiting.popleft()
            self._unsure.append(item)
            self.sent += 1

    async def _lost_connection(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "Prefect's server cannot be reached (%s); %d events wait, and are sent when it is "
                "back",
                error or type(error).__name__,
                len(self.waiting),
            )
        if self.away_since is None:
            self.away_since = self._clock()
        # the client confirms every CHECKPOINT_EVERY events, so only the last of them may be lost;
        # the server knows events by their ids and stores none twice
        while self._unsure:
            self.waiting.appendleft(self._unsure.pop())
            self.sent -= 1
        client, self._client = self._client, None
        self._next_try = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if client is not None:
            # It is broken already.
            with suppress(Exception):
                await asyncio.wait_for(client.__aexit__(None, None, None), 1)


def _made(item: Item) -> Event | None:
    """The item's event; None where it cannot be made, which is logged."""
    if isinstance(item.event, StateChange):
        try:
            item.event = item.event.event()
        except Exception:
            log.exception("no event can be made of a change of state; the mirror is settled later")
            return None
    return item.event
