"""Which Prefect server the user has chosen, read the way Prefect reads it, without importing it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from argus_tasks.base.settings import user_home

API_URL = "PREFECT_API_URL"
EMBEDDED_URL = "ARGUS_TASKS_EMBEDDED_API_URL"
"""Beside PREFECT_API_URL in the environment of a process that uses the embedded server: tells our
own value from the user's."""


def configured_api_url() -> str | None:
    """The API URL that the user has set, or None: then the embedded server is to be used.

    Looked for in Prefect's order: the environment, `.env`, `prefect.toml` and `pyproject.toml` of
    the working folder, the active profile. A PREFECT_API_URL that the embedded server's own
    `environment()` has put there is not the user's.
    """
    from_environment = os.environ.get(API_URL, "").strip()
    if from_environment and from_environment != os.environ.get(EMBEDDED_URL):
        return from_environment
    return (
        _text(_dotenv(Path(".env")).get(API_URL))
        or _text(_table(Path("prefect.toml"), "api").get("url"))
        or _text(_table(Path("pyproject.toml"), "tool", "prefect", "api").get("url"))
        or _text(_active_profile().get(API_URL))
    )


def _active_profile() -> dict[str, Any]:
    profiles = _table(_profiles_path())
    name = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    return _inner(profiles, "profiles", str(name))


def _profiles_path() -> Path:
    chosen = (
        os.environ.get("PREFECT_PROFILES_PATH")
        or _dotenv(Path(".env")).get("PREFECT_PROFILES_PATH")
        or _text(_table(Path("prefect.toml")).get("profiles_path"))
        or _text(_table(Path("pyproject.toml"), "tool", "prefect").get("profiles_path"))
    )
    if chosen:
        return Path(chosen)
    home = os.environ.get("PREFECT_HOME")
    return (Path(home) if home else user_home() / ".prefect") / "profiles.toml"


def _table(path: Path, *keys: str) -> dict[str, Any]:
    """A table of a TOML file; empty where file or table are not there or cannot be read (Prefect
    itself then says what is wrong with the file)."""
    try:
        data = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return _inner(data, *keys)


def _inner(data: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        found = data.get(key)
        if not isinstance(found, dict):
            return {}
        data = found
    return data


def _dotenv(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines)
    return {key.strip(): value.strip().strip("'\"") for key, equals, value in pairs if equals}


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
