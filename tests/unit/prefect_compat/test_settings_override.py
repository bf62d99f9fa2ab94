from __future__ import annotations

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    get_current_settings,
    temporary_settings,
)

from argus_tasks.prefect_compat.hook import Hook
from argus_tasks.prefect_compat.settings_override import client_settings, with_settings


def test_for_a_while_they_are_as_prefects_own_way_makes_them() -> None:
    # Prefect's own way reads the environment anew: both start from what it says now.
    with temporary_settings():
        before = get_current_settings()
        with temporary_settings({PREFECT_API_URL: "http://a/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
            theirs = get_current_settings()
        changes = {"api.url": "http://a/api", "ui_url": "http://a", "client.max_retries": 0}
        with with_settings(changes):
            ours = get_current_settings()
            assert PREFECT_API_URL.value() == "http://a/api"
            assert PREFECT_CLIENT_MAX_RETRIES.value() == 0
            assert ours.api == theirs.api
            assert ours.client == theirs.client
            assert ours.ui_url == theirs.ui_url
        assert get_current_settings() is before


@pytest.mark.parametrize("standing_back", [False, True])
def test_a_setting_that_this_prefect_lacks_is_left_out(
    standing_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if standing_back:
        monkeypatch.setattr(Hook, "stands_back", lambda _: "it has changed")
    with with_settings({"client.max_tries": 0, "no.such": 1, "client.max_retries": 0}):
        assert PREFECT_CLIENT_MAX_RETRIES.value() == 0


def test_certificates_are_loaded_only_where_they_are_used() -> None:
    with with_settings({"api.url": "http://a/api"}):
        assert "verify" in client_settings(3)
    with with_settings({"api.url": "https://a/api"}):
        assert client_settings(3) == {"timeout": 3}


def test_a_flow_around_a_sweep_keeps_its_patience() -> None:
    from prefect.client.orchestration import get_client

    from argus_tasks.prefect_compat.client_patience import (
        answer_within,
        connect_once,
        same_patience_afterwards,
    )

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        client = get_client(sync_client=True)
    http, pool = client._client, client._client._transport._pool  # type: ignore[attr-defined]
    before = (http.timeout, pool._retries)
    with same_patience_afterwards(client):
        answer_within(client, 0.4)
        connect_once(client)
        assert (http.timeout.read, pool._retries) == (0.4, 0)
    assert (http.timeout, pool._retries) == before
