"""The Prefect server that the user has configured, read as Prefect does, without importing it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.files import write_text_whole
from argus_tasks.base.redact import without_login
from argus_tasks.base.server_login import API_URL, AUTH_STRING, LOGIN_NAME, names_embedded
from argus_tasks.base.settings import user_home
from argus_tasks.base.urls import is_http_url

_OUR_TABLE = re.compile(rf"(?m)^\[profiles\.{LOGIN_NAME}\]\n(?:[^\[\n].*\n|\n)*")


def configured_api_url() -> str | None:
    """The API URL that the user has configured; None where the embedded server is to be used.

    Looked for in Prefect's order: the environment, `.env`, `prefect.toml` and `pyproject.toml` of
    the working folder, the active profile. What the embedded server's own `environment()`, its
    export line or its profile has put there is not the user's. Errors: BadInput where it is none.
    """
    url = _configured(API_URL, "url")
    if url is not None and not is_http_url(url):
        raise BadInput(
            f"{API_URL} is '{without_login(url)}'; expected a URL like http://127.0.0.1:4200/api."
        )
    return url


def configured_login() -> str | None:
    """The login that the user has configured (PREFECT_API_AUTH_STRING); None where there is
    none."""
    return _configured(AUTH_STRING, "auth_string")


def write_profile(environment: Mapping[str, str]) -> Path:
    """Add the embedded server, as its environment has it, to the user's Prefect profiles, or
    replace what stands there of an earlier one. The file can be read by its owner only from then
    on; which profile is active stays. Returns the file.

    Errors: BadInput where the file is no TOML or cannot be written.
    """
    path = _profiles_path().resolve()
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        table = f"[profiles.{LOGIN_NAME}]\n" + "".join(
            f'{name} = "{environment[name]}"\n' for name in (API_URL, AUTH_STRING)
        )
        others = re.sub(_OUR_TABLE, "", before).rstrip()
        text = f"{others}\n\n{table}".lstrip()
        tomllib.loads(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_whole(path, text, mode=0o600)
    except (OSError, ValueError) as error:
        raise BadInput(f"no profile can be added to {path}: {error}.") from error
    return path


def _configured(variable: str, key: str) -> str | None:
    return (
        (None if names_embedded(os.environ) else _text(os.environ.get(variable)))
        or _text(_dotenv(Path(".env")).get(variable))
        or _text(_table(Path("prefect.toml"), "api").get(key))
        or _text(_table(Path("pyproject.toml"), "tool", "prefect", "api").get(key))
        or _text(_active_profile().get(variable))
    )


def _active_profile() -> dict[str, Any]:
    profiles = _table(_profiles_path())
    name = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    return {} if name == LOGIN_NAME else _inner(profiles, "profiles", str(name))


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
    """A table of a TOML file; empty where the file or table is missing or cannot be read (Prefect
    itself then reports what is wrong with the file)."""
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
