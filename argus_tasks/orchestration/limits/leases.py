"""Slots of a limit, leased from Prefect's server for many attempts, shared with other sweeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from argus_tasks.orchestration.prefect_api.limit_server import LEASE_S, LimitServer
from argus_tasks.orchestration.prefect_api.prefect_server import ServerAway

RENEW_AFTER_S = LEASE_S / 3
ROTATE_S = 3.0
HUNGRY_AFTER_S = 1.0
WAITING = "-waiting"
_MANY = 1000


@dataclass(slots=True)
class _Lease:
    id: str
    renewed_at: float


class Leases:
    """The slots of one limit that this sweep holds, a lease for each.

    Args:
        server: where they are leased.
        name: the limit's name.
    """

    def __init__(
        self, server: LimitServer, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._server = server
        self._name = name
        self._clock = clock
        self._leases: list[_Lease] = []

    @property
    def held(self) -> int:
        """How many slots are leased."""
        return len(self._leases)

    def reach(self, target: int, used: int) -> bool:
        """Lease or give back until `target` slots are held, of which `used` stay in any case.

        False where the server has not so many for us.
        """
        while len(self._leases) > max(target, used):
            if not self._server.give_back(self._leases[-1].id):
                return True
            self._leases.pop()
        while len(self._leases) < target:
            lease = self._server.take(self._name)
            if lease is None:
                return False
            self._leases.append(_Lease(lease, self._clock()))
        return True

    def renew(self) -> None:
        """Renew what is due. Slots whose lease is lost are held no more."""
        now, lost = self._clock(), 0
        for lease in list(self._leases):
            if now - lease.renewed_at < RENEW_AFTER_S:
                continue
            if self._server.renew(lease.id):
                lease.renewed_at = now
                continue
            self._leases.remove(lease)
            # A server that was restarted has forgotten its leases, and still counts their slots.
            lost += now - lease.renewed_at < LEASE_S
        if lost:
            self._take_out_of_totals(lost)

    def give_back_all(self) -> None:
        """Give back what is held, as the limit allows; the rest comes back with its lease."""
        for lease in list(self._leases):
            if self._server.give_back(lease.id):
                self._leases.remove(lease)

    def give_back_all_disabled(self) -> None:
        """Give back slots of a limit that is disabled, which its server would count for ever."""
        count = len(self._leases)
        self.give_back_all()
        if count:
            self._take_out_of_totals(count)

    def _take_out_of_totals(self, count: int) -> None:
        limit = self._server.read(self._name)
        if limit is not None:
            self._server.change(self._name, active_slots=max(0, limit.taken - count))


class WaitingSweeps:
    """How many sweeps want more slots of a limit than they have; counted by a limit of its own.

    Each of them holds one slot of it, which goes back with its lease where it is killed.
    """

    def __init__(
        self, server: LimitServer, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._server = server
        self._name = name + WAITING
        self._leases = Leases(server, self._name, clock)
        self._clock = clock
        self._hungry_since: float | None = None
        self._much_since: float | None = None
        self._rests_until = 0.0

    def others(self, *, hungry: bool) -> int:
        """How many other sweeps want more slots; `hungry` says whether this one does."""
        now = self._clock()
        self._hungry_since = (self._hungry_since or now) if hungry else None
        wants = self._hungry_since is not None and now - self._hungry_since >= HUNGRY_AFTER_S
        if wants != bool(self._leases.held):
            if wants and self._server.read(self._name) is None:
                self._server.make(self._name, _MANY)
            self._leases.reach(int(wants), 0)
        self._leases.renew()
        waiting = self._server.read(self._name)
        return max(0, waiting.taken - self._leases.held) if waiting else 0

    def share(self, value: int, others: int, held: int) -> int:
        """How many of `value` slots are this sweep's; what cannot be divided goes round."""
        now = self._clock()
        low, more = divmod(value, others + 1)
        if not others or not more:
            self._much_since = None
            return low
        if held > low:
            self._much_since = self._much_since or now
            if now - self._much_since >= ROTATE_S:
                self._much_since, self._rests_until = None, now + ROTATE_S / 2
        return low if now < self._rests_until else low + 1

    def leave(self) -> None:
        """Be counted no longer."""
        try:
            self._leases.give_back_all()
        except ServerAway:
            return
