"""Settings from the environment and the folders of the XDG base directory specification."""

from __future__ import annotations

import os
from pathlib import Path

from argus_tasks.base.errors import BadInput

_TRUE = frozenset({"1", "true", "yes", "on"})


def user_home() -> Path:
    """The user's home folder. Errors: BadInput where there is none."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise BadInput(
            f"user {os.getuid()} has no home folder; set HOME to a folder that can be written to."
        ) from error


def flag(name: str) -> bool:
    """Whether an environment variable is 1, true, yes or on, in any case."""
    return os.environ.get(name, "").strip().lower() in _TRUE


def seconds(name: str, default_s: float) -> float:
    """The seconds that an environment variable sets: a number from 0 to a million, else the
    default."""
    try:
        value = float(os.environ.get(name, "") or default_s)
    except ValueError:
        return default_s
    return value if 0 <= value < 1e6 else default_s


def state_home() -> Path:
    """The folder for lasting state: `$XDG_STATE_HOME/argus-tasks`, by default
    `~/.local/state/argus-tasks`. The folder may not exist yet."""
    return _home("XDG_STATE_HOME", ".local/state") / "argus-tasks"


def config_home() -> Path:
    """The folder of the user's settings: `$XDG_CONFIG_HOME/argus-tasks`, by default
    `~/.config/argus-tasks`. The folder may not exist yet."""
    return _home("XDG_CONFIG_HOME", ".config") / "argus-tasks"


def cache_home() -> Path:
    """The folder for files that can be made again: `$XDG_CACHE_HOME/argus-tasks`, by default
    `~/.cache/argus-tasks`. The folder may not exist yet."""
    return _home("XDG_CACHE_HOME", ".cache") / "argus-tasks"


def _home(variable: str, below_home: str) -> Path:
    base = os.environ.get(variable, "")
    return Path(base) if base.startswith("/") else user_home() / below_home
