"""Settings from the environment and the folders of the XDG base directory specification."""

from __future__ import annotations

import os
from pathlib import Path

_TRUE = frozenset({"1", "true", "yes", "on"})


def flag(name: str) -> bool:
    """True where the environment variable is one of 1 / true / yes / on, in any case."""
    return os.environ.get(name, "").strip().lower() in _TRUE


def state_home() -> Path:
    """Where this package keeps what must last: `$XDG_STATE_HOME/argus-tasks`, by default
    `~/.local/state/argus-tasks`. The folder may not exist yet."""
    base = os.environ.get("XDG_STATE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return root / "argus-tasks"


def config_home() -> Path:
    """Where a user's settings lie: `$XDG_CONFIG_HOME/argus-tasks`, by default
    `~/.config/argus-tasks`. The folder may not exist yet."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".config"
    return root / "argus-tasks"


def cache_home() -> Path:
    """Where this package keeps what it can make again: `$XDG_CACHE_HOME/argus-tasks`, by default
    `~/.cache/argus-tasks`. The folder may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "argus-tasks"
