"""Prefect's settings for a while, without reading the environment and the profiles again."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from prefect.context import SettingsContext, get_settings_context
from prefect.settings import PREFECT_API_URL

from argus_tasks.base.loopback import is_loopback


def with_settings(changes: Mapping[str, Any]) -> SettingsContext:
    """A context in which Prefect's settings are those of here but for `changes`, by their paths
    ("client.max_retries").

    Prefect's `temporary_settings` does the same in some 40 ms, for it makes them all anew.
    """
    context = get_settings_context()
    settings = context.settings
    for path, value in changes.items():
        settings = _changed(settings, path.split("."), value)
    return SettingsContext(profile=context.profile, settings=settings)


def _changed(model: Any, path: list[str], value: Any) -> Any:
    name, *rest = path
    if rest:
        value = _changed(getattr(model, name), rest, value)
    assert name in type(model).model_fields, f"Prefect has no setting {name}"
    return model.model_copy(update={name: value})


def client_settings(timeout_s: float) -> dict[str, Any]:
    """What Prefect's clients take as `httpx_settings`. Where nothing is encrypted no certificates
    are loaded, which takes 40 ms for each client; on this machine there is no proxy."""
    settings: dict[str, Any] = {"timeout": timeout_s}
    url = str(PREFECT_API_URL.value())
    if url.startswith("http://"):
        settings["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if is_loopback(url):
        settings["trust_env"] = False
    return settings
