"""What the relay says of itself; what it does is seen in tests/integration/test_relay.py."""

from __future__ import annotations

from argus_tasks.prefect_compat.event_relay import Relay


def test_a_relay_whose_thread_does_not_run_confirms_nothing() -> None:
    assert not Relay().drain(5)
