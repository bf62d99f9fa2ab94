"""Every hook, and whether it is active with the installed versions.

`python -m argus_tasks.prefect_compat.all_hooks` prints it as JSON. It loads Prefect's server, which
takes seconds: `argus-tasks doctor` runs it as a process of its own.
"""

from __future__ import annotations

import json
from importlib import import_module

from argus_tasks.prefect_compat.hook import Hook

_MODULES = (
    "task_engine",
    "event_relay",
    "state_change",
    "related_resources",
    "settings_override",
    "client_patience",
    "client_reach",
    "last_log_lines",
    "server_recording",
    "server_rows",
    "server_automations",
)


def all_hooks() -> list[Hook]:
    """All hooks: those of the flow's process first, those of the embedded server last."""
    return [import_module(f"{__package__}.{name}").HOOK for name in _MODULES]


def report() -> list[dict[str, str | None]]:
    """Each hook's description, and why it is not used."""
    return [
        {
            "name": hook.name,
            "does": hook.does,
            "without": hook.without,
            "gain": hook.gain,
            "proven": hook.proven,
            "stands_back": hook.examine(),
        }
        for hook in all_hooks()
    ]


if __name__ == "__main__":
    print(json.dumps(report()))
