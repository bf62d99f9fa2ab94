"""When the relay's shipper sends: what comes together goes together."""

from __future__ import annotations

from prefect.events import Event
from prefect.events.schemas.events import Resource

from argus_tasks.prefect_compat.event_coalescing import Item
from argus_tasks.prefect_compat.event_shipping import GATHER, GATHER_S, EventShipper


def item() -> Item:
    resource = Resource({"prefect.resource.id": "prefect.task-run.1"})
    return Item(Event(event="prefect.task-run.Completed", resource=resource))


def test_an_event_waits_for_others_but_not_for_long() -> None:
    now = [100.0]
    shipper = EventShipper(clock=lambda: now[0])
    assert not shipper.due()
    shipper.add(item())
    assert not shipper.due()
    now[0] += GATHER_S * 0.9
    shipper.add(item())
    assert not shipper.due()
    now[0] += GATHER_S * 0.1
    assert shipper.due()  # the first has waited for long enough


def test_once_sending_all_goes_and_then_it_gathers_again() -> None:
    shipper = EventShipper(clock=lambda: 100.0)
    for _ in range(GATHER):
        assert not shipper.due()
        shipper.add(item())
    assert shipper.due()
    while len(shipper.waiting) > 1:
        shipper.waiting.popleft()
    assert shipper.due()
    shipper.waiting.popleft()
    shipper.add(item())  # before anybody has asked
    assert not shipper.due()
