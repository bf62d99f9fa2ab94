"""How the embedded server is set: the environment of its process."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

from argus_tasks.server.folder import Folder

# A stock server writes each event by itself: 17 to 22 ms of CPU a task run, ten times what the flow
# pays, and what its broker cannot hold it drops. Written by the hundred it keeps up.
_BATCHING = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
}


def prefect_version() -> str:
    """The installed Prefect's version, without importing it."""
    return version("prefect")


def base_environment(folder: Folder) -> dict[str, str]:
    """The environment for a process that runs Prefect on our own home folder.

    The user's own PREFECT_ settings are meant for other servers and do not come along; neither do
    tokens of the monitor.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "ARGUS_TOKEN"))
    }
    package_parent = str(Path(__file__).parents[2])  # the package may not be installed
    search = [package_parent, *inherited.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(path for path in search if path),
        "PREFECT_HOME": str(folder.home),
        "PREFECT_PROFILES_PATH": str(folder.home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }


def server_environment(folder: Folder, port: int) -> dict[str, str]:
    """The environment of the server's process. What depends on the state of the database is added
    there, before Prefect is imported."""
    return {
        **base_environment(folder),
        **_BATCHING,
        "PREFECT_SERVER_API_AUTH_STRING": folder.login(),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
        # a second of every first start; a block registers its type when it is saved
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    }


def python_command(*words: str) -> list[str]:
    """This Python, not looking for modules in the working folder."""
    return [sys.executable, "-P", *words]
