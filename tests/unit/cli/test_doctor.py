"""What `argus-tasks doctor` says of Prefect."""

from __future__ import annotations

import prefect.events.worker
import pytest

from argus_tasks.cli.doctor import relay


def test_the_relay_has_its_way_in() -> None:
    (found,) = relay()
    assert (found.level, found.what) == ("good", "relay")


def test_a_prefect_without_a_way_in_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(prefect.events.worker, "ProcessPoolForwardingEventsClient")
    (found,) = relay()
    assert found.level == "warning"
    assert "no way in" in found.said
