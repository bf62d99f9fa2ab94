"""The relay: sends Prefect's events in place of Prefect's own events worker.

Prefect sends three events for each task run, one by one, through three threads of the flow's
process; and when the server is gone, it tries each for seven seconds at exit. The relay takes them
all in at once, sends what `coalescing` leaves of them on a thread of its own, knows what it has
sent, and holds nobody up past a deadline.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
from collections import deque
from contextvars import copy_context
from importlib import import_module
from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.events import Event
from prefect.settings import get_current_settings

from argus_tasks.prefect_compat.event_coalescing import Coalescer, Item
from argus_tasks.prefect_compat.event_shipping import EventShipper
from argus_tasks.prefect_compat.hook import PROVEN, Hook
from argus_tasks.prefect_compat.state_change import HOOK as STATE_CHANGES
from argus_tasks.prefect_compat.state_change import (
    StateChange,
    stand_back,
    stand_in,
    state_change,
)

log = logging.getLogger("argus_tasks.relay")

TICK_S = 0.05
EXIT_LIMIT_S = 3.0
PREFECTS_LOGGER = "prefect.events.clients"

THREAD_NAME = "argus-tasks-relay"

_guard = threading.Lock()
_active: Relay | None = None


class Relay:
    """The relay of this process; `Relay.install()` makes it."""

    def __init__(self) -> None:
        self._users = 0
        self._worker: Any = None
        self._inbox: deque[Item] = deque()
        self._coalescer = Coalescer()
        self._shipper = EventShipper()
        self._changed = threading.Condition()
        self._drains_asked = 0
        self._drains_done = 0
        self._closing = False
        self._forwarded = False
        context = copy_context()  # with the caller's Prefect settings
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name=THREAD_NAME, daemon=True
        )

    @classmethod
    def install(cls) -> Relay | None:
        """Take over this process's Prefect events; callers at the same time share one relay.

        None, with one line in the log, where this Prefect does not offer the way in or there is no
        server: then Prefect's own client sends them. Call it before the flow's first task; each
        call is undone by one `uninstall()`.
        """
        global _active
        with _guard:
            if _active is None:
                relay = cls()
                if not relay._hook_in():
                    return None
                relay._thread.start()
                _active = relay
            _active._users += 1
            return _active

    @property
    def sent(self) -> int:
        """How many events were sent to the server, each counted once."""
        return self._shipper.sent

    @property
    def dropped(self) -> int:
        """How many events were dropped because a later one of the same task run replaces them."""
        return self._coalescer.dropped

    @property
    def away_since(self) -> float | None:
        """When the server stopped answering (by time.monotonic()); None while it can be reached."""
        return self._shipper.away_since

    @property
    def waiting(self) -> int:
        """How many events are not sent yet, including those held back on purpose."""
        return len(self._inbox) + len(self._coalescer) + len(self._shipper.waiting)

    def drain(self, timeout_s: float) -> bool:
        """Send all events, also those held back; returns whether the server has received them
        all."""
        deadline = time.monotonic() + timeout_s
        if self._forwarded:
            self._wait_for_prefects_worker(timeout_s)
        with self._changed:
            self._drains_asked += 1
            mine = self._drains_asked
            while self._drains_done < mine and self._thread.is_alive():
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    return False
                self._changed.wait(min(remaining_s, 0.5))
            return self._drains_done >= mine

    def uninstall(self, timeout_s: float = EXIT_LIMIT_S) -> None:
        """Restore Prefect's own client, once every caller of `install` has called this; waiting
        events are sent within the time limit. Returns when that is done or the time is over."""
        global _active
        with _guard:
            self._users -= 1
            if self._users > 0 or _active is not self:
                return
            _active = None
            self._hook_out()
        self._end(timeout_s)

    def put(self, message: tuple[str, Event]) -> None:
        """Take an event from Prefect's forwarding client, with its related resources."""
        self._forwarded = True
        self._inbox.append(Item(message[1]))

    def _send(self, item: Event) -> None:
        """Take an event where it is emitted: the way through Prefect's events worker, with its
        three threads, costs the flow's process more than a whole task run."""
        self._inbox.append(Item(item, copy_context()))

    def _note(
        self,
        task_run: TaskRun,
        initial_state: State[Any] | None,
        validated_state: State[Any],
        follows: Event | StateChange | None = None,
    ) -> StateChange:
        """Take a state change from Prefect's engine, before an event is made from it."""
        change = state_change(task_run, initial_state, validated_state, follows)
        self._inbox.append(Item(change, copy_context()))
        return change

    def _hook_in(self) -> bool:
        reason = HOOK.stands_back()
        if reason is not None:
            log.warning(
                "no relay for Prefect's events: this version of Prefect does not allow it (%s)",
                reason,
            )
            return False
        try:
            from prefect.events.worker import EventsWorker, ProcessPoolForwardingEventsClient

            if not get_current_settings().api.url:
                log.warning("no relay for Prefect's events: there is no PREFECT_API_URL")
                return False
            if EventsWorker._client_override is not None:
                log.warning("no relay for Prefect's events: another library has taken them over")
                return False
            EventsWorker.set_client_override(ProcessPoolForwardingEventsClient, event_queue=self)
            worker = EventsWorker.instance()
            if worker.client_type is not ProcessPoolForwardingEventsClient:
                EventsWorker.set_client_override(None)
                raise AttributeError("the override is not used")
        except (ImportError, AttributeError, TypeError) as error:
            log.warning(
                "no relay for Prefect's events: this version of Prefect does not allow it (%s)",
                error,
            )
            return False
        logging.getLogger(PREFECTS_LOGGER).addFilter(_not_the_relay)
        worker.send = self._send  # type: ignore[method-assign]
        if STATE_CHANGES.stands_back() is None:
            stand_in(self._note)
        self._worker = worker
        return True

    def _hook_out(self) -> None:
        from prefect.events.worker import EventsWorker

        EventsWorker.set_client_override(None)
        stand_back(self._note)
        self._worker.__dict__.pop("send", None)
        logging.getLogger(PREFECTS_LOGGER).removeFilter(_not_the_relay)

    def _end(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self.drain(timeout_s)
        self._closing = True
        self._thread.join(max(0.1, deadline - time.monotonic()))

    def _wait_for_prefects_worker(self, timeout_s: float) -> None:
        waiting = threading.Thread(target=self._worker.wait_until_empty, daemon=True)
        waiting.start()
        waiting.join(timeout_s)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:
            log.exception("the relay for Prefect's events has ended; the mirror is settled later")
        with self._changed:
            self._changed.notify_all()

    async def _main(self) -> None:
        shipper = self._shipper
        while not self._closing:
            asked = self._drains_asked
            drain = asked > self._drains_done
            self._take_in()
            for item in self._coalescer.flush() if drain else self._coalescer.due():
                shipper.add(item)
            wanted = drain or shipper.due()
            if wanted:
                await shipper.ship()
            if drain and not self._inbox and not shipper.waiting and await shipper.confirm():
                with self._changed:
                    self._drains_done = asked
                    self._changed.notify_all()
            elif not wanted or not shipper.waiting or shipper.paused():
                await asyncio.sleep(TICK_S)
        await shipper.close()

    def _take_in(self) -> None:
        for _ in range(len(self._inbox)):
            item = self._coalescer.take(self._inbox.popleft())
            if item is not None:
                self._shipper.add(item)


def _not_the_relay(record: logging.LogRecord) -> bool:
    """A log filter: Prefect's client warns at each attempt to connect; the relay warns once."""
    return record.threadName != THREAD_NAME


def _at_exit() -> None:
    relay = _active
    if relay is not None:
        relay._end(EXIT_LIMIT_S)


def _after_fork_in_child() -> None:
    """The relay's thread exists in the parent only: in the child Prefect's own client sends."""
    global _guard, _active
    _guard = threading.Lock()
    relay, _active = _active, None
    if relay is not None:
        relay._hook_out()


def _probe() -> str | None:
    worker = import_module("prefect.events.worker")
    if not hasattr(worker.ProcessPoolForwardingEventsClient, "_emit"):
        return "its forwarding client works differently"
    needed = ("set_client_override", "_client_override", "send", "wait_until_empty")
    missing = [name for name in needed if not hasattr(worker.EventsWorker, name)]
    return f"its events worker has no {', '.join(missing)}" if missing else None


HOOK = Hook(
    name="event relay",
    does="sends one event for a quick task run instead of three, and holds nobody up at exit",
    without="three events a task run; a server that is gone may hold the exit up for minutes",
    gain="15 ms of the server's CPU a run on a stock server, 2.5 on the embedded one (3.8.8)",
    proven=PROVEN,
    probe=_probe,
)

atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
