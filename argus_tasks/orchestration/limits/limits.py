"""Keeps admission in step with Prefect's global concurrency limits, which people can set.

One thread asks a few times in two seconds, leases slots, renews them and writes what the controller
says. Attempts never wait for a request: they take and give back the slots that are there.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from argus_tasks.admission.cpu import CpuRoom, Rule
from argus_tasks.admission.shared_slots import LimitSlots
from argus_tasks.base.guard import swallow
from argus_tasks.orchestration.limits.leases import Leases, WaitingSweeps
from argus_tasks.orchestration.prefect_api.limit_server import LimitServer, ServerLimit
from argus_tasks.orchestration.prefect_api.prefect_server import ServerAway, asked_once
from argus_tasks.session.admission_queue import AdmissionQueue

log = logging.getLogger("argus_tasks.limits")

ASK_EVERY_S = 0.7
AWAY_AFTER_S = 3.0
BUSY_AFTER_S = 15.0
WRITE_EVERY_S = 1.0
BEAT_EVERY_S = 3.0
SILENT_AFTER_S = 10.0
IN_BETWEEN_S = 2.0
"""Between the variable and the limit themselves, a writer needs no longer than this."""


class LimitKeeper:
    """Keeps the limits of one sweep in step with Prefect's server.

    Where the server does not answer, the sweep goes on by itself, and that is said once. Without a
    limit nothing is asked.
    """

    def __init__(self, admission: AdmissionQueue) -> None:
        self._server = LimitServer()
        self._kept: list[_Kept] = [
            _NamedLimit(self._server, slots, self._wake) for slots in admission.slots
        ]
        if admission.cpu is not None:
            self._kept.append(_CpuLimit(self._server, admission.cpu, self._wake))
        self._woken = threading.Event()
        self._over = False
        self._told = False
        self._answered_at = time.monotonic()
        context = copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name="argus-limits", daemon=True
        )
        if self._kept:
            self._thread.start()

    def close(self, limit_s: float) -> None:
        """Give back what is leased, within so many seconds."""
        self._over = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(limit_s)

    def _wake(self) -> None:
        self._woken.set()

    def _run(self) -> None:
        with asked_once(self._server):
            while not self._over:
                self._woken.clear()
                self._each(lambda kept: kept.sync())
                if not self._over:
                    self._woken.wait(ASK_EVERY_S)
            self._each(lambda kept: kept.leave())

    def _each(self, what: Callable[[_Kept], None]) -> None:
        for kept in self._kept:
            try:
                what(kept)
                self._answered_at = time.monotonic()
            except ServerAway as error:
                silent_s = time.monotonic() - self._answered_at
                if silent_s >= (BUSY_AFTER_S if error.busy else AWAY_AFTER_S):
                    self._say_away(error)
                    kept.away()
            except Exception:  # noqa: BLE001 - what watches never ends a sweep
                swallow("keeping a limit on Prefect's server")
                kept.away()

    def _say_away(self, error: ServerAway) -> None:
        if not self._told and not self._over:
            self._told = True
            log.warning("%s: the sweep keeps its limits by itself until it does", error)


class _Kept(ABC):
    """One limit: leased from the server, and shared with other sweeps."""

    def __init__(
        self, server: LimitServer, limited: LimitSlots | CpuRoom, wake: Callable[[], None]
    ) -> None:
        self._server = server
        self._leases = Leases(server, limited.name)
        self._waiting_sweeps = WaitingSweeps(server, limited.name)
        self._disabled = False
        limited.changed = wake

    @abstractmethod
    def sync(self) -> None:
        """Ask how the limit stands, and lease or give back. Errors: ServerAway."""

    @abstractmethod
    def away(self) -> None:
        """Go on without the server."""

    def leave(self) -> None:
        """Give back what is leased. Errors: ServerAway."""
        if self._disabled:
            self._leases.give_back_all_disabled()
        else:
            self._leases.give_back_all()
        self._waiting_sweeps.leave()

    def _lease(self, limit: ServerLimit, target: int, used: int, wanted: int) -> int:
        """Lease this sweep's share of a limit; returns how many slots may be used now."""
        if limit.limit == 0:  # the server takes nothing back now
            return 0
        leases, sweeps = self._leases, self._waiting_sweeps
        others = sweeps.others(hungry=leases.held < wanted)
        if others:
            target = min(target, sweeps.share(limit.limit, others, leases.held))
        if limit.taken > limit.limit and leases.held:  # it has been lowered: each gives up its part
            target = min(target, -(-limit.limit * leases.held // limit.taken))
        leases.reach(target, used)
        return min(target, leases.held)


class _NamedLimit(_Kept):
    """A limit of the sweep file: made where there is none, else respected."""

    def __init__(self, server: LimitServer, slots: LimitSlots, wake: Callable[[], None]) -> None:
        super().__init__(server, slots, wake)
        self._slots = slots
        self._local = slots.local

    def sync(self) -> None:
        slots, leases = self._slots, self._leases
        leases.renew()
        limit = self._server.read(slots.name)
        if limit is None:
            self._server.make(slots.name, slots.local)
            limit = self._server.read(slots.name) or ServerLimit(slots.local, True, 0)
        self._disabled = not limit.active
        if self._disabled:
            slots.allow(None, "")
            return
        self._local = max(1, limit.limit - max(0, limit.taken - leases.held))
        wanted = slots.wanted()
        allowed = self._lease(limit, min(wanted, limit.limit), slots.used, wanted)
        slots.over_allowed = leases.held > allowed
        why = f"waiting for {slots.name}"
        slots.allow(allowed, why if limit.limit else f"paused: {slots.name} is 0")

    def away(self) -> None:
        self._slots.allow(max(self._local, self._leases.held), f"waiting for {self._slots.name}")


class _CpuLimit(_Kept):
    """The CPU's: its value is the controller's until a person sets another."""

    def __init__(self, server: LimitServer, cpu: CpuRoom, wake: Callable[[], None]) -> None:
        super().__init__(server, cpu, wake)
        self._cpu = cpu
        self._me = uuid.uuid4().hex[:12]
        self._mark: Any = None
        self._mark_at = 0.0
        self._written_at = 0.0
        self._beats = 0

    def sync(self) -> None:
        cpu, leases = self._cpu, self._leases
        leases.renew()
        limit = self._server.read(cpu.name)
        if limit is None:
            limit = self._made(max(1, cpu.room))
        self._disabled = not limit.active
        if self._disabled:
            cpu.set_rule(Rule.OFF, None, "")
            return
        wanted = cpu.wanted()
        if not self._is_ours(limit):
            target = min(wanted, limit.limit)
            allowed = self._lease(limit, target, cpu.running, wanted)
            why = f"{cpu.name} is {limit.limit}"
            cpu.set_rule(Rule.PERSON, allowed, why if limit.limit else f"paused: {why}")
            return
        self._write(limit)
        target = min(wanted, cpu.room)
        others = self._waiting_sweeps.others(hungry=leases.held < wanted)
        if others:
            target = min(
                target, max(1, self._waiting_sweeps.share(limit.limit, others, leases.held))
            )
        leases.reach(target, cpu.running)
        sharing = f"sharing {cpu.name} with other sweeps"
        cpu.set_rule(Rule.CONTROLLER, max(1, min(target, leases.held)) if others else None, sharing)

    def away(self) -> None:
        if self._cpu.rule is not Rule.PERSON:  # what a person said last, holds
            self._cpu.set_rule(Rule.CONTROLLER, None, "")

    def _made(self, value: int) -> ServerLimit:
        self._note(value, None)
        self._server.make(self._cpu.name, value)
        return self._server.read(self._cpu.name) or ServerLimit(value, True, 0)

    def _is_ours(self, limit: ServerLimit) -> bool:
        """Whether the value is what a sweep wrote last: the variable says what that was."""
        mark = self._server.variable(self._cpu.name)
        now = time.monotonic()
        if mark != self._mark:
            self._mark, self._mark_at = mark, now
        if _value_of(mark) == limit.limit:
            return True
        was = mark.get("was") if isinstance(mark, dict) else None
        return was == limit.limit and now - self._mark_at < IN_BETWEEN_S

    def _write(self, limit: ServerLimit) -> None:
        """Write what the controller says, where this sweep is the one that writes."""
        now = time.monotonic()
        mine = isinstance(self._mark, dict) and self._mark.get("by") == self._me
        if not mine and now - self._mark_at < SILENT_AFTER_S and limit.taken > self._leases.held:
            return
        others = max(0, limit.taken - self._leases.held)
        value = others + self._cpu.room
        if value != limit.limit and now - self._written_at >= WRITE_EVERY_S:
            self._written_at = now
            self._note(value, limit.limit)
            self._server.change(self._cpu.name, limit=value)
        elif mine and others and now - self._mark_at >= BEAT_EVERY_S:
            self._note(limit.limit, limit.limit)

    def _note(self, value: int, was: int | None) -> None:
        self._beats += 1
        mark = {"value": value, "was": was, "by": self._me, "beat": self._beats}
        self._server.set_variable(self._cpu.name, mark)
        self._mark, self._mark_at = mark, time.monotonic()


def _value_of(mark: Any) -> Any:
    return mark.get("value") if isinstance(mark, dict) else mark


NEVER = object()
"""Of a limit that no controller has ever written to."""


def written_by_sweeps(server: LimitServer, name: str) -> Any:
    """The value that sweeps wrote last, or NEVER; anything else on the limit is a person's."""
    mark = server.variable(name)
    return NEVER if mark is None else _value_of(mark)


def set_by_person(server: LimitServer, name: str, value: int) -> None:
    """Set a limit as a person does, also where it has that value already."""
    server.set_variable(name, {"value": None})
    if not server.change(name, limit=value, active=True):
        server.make(name, value)


def set_auto(server: LimitServer, name: str) -> bool:
    """Leave a limit to the controller again; False where there is none."""
    limit = server.read(name)
    if limit is None:
        return False
    server.set_variable(name, {"value": limit.limit})
    if not limit.active:
        server.change(name, active=True)
    return True
