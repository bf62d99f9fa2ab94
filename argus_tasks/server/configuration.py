"""The settings of the embedded server: the environment of its process."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

from argus_tasks.server.folder import Folder

# With its defaults the server writes each event separately: 17 to 22 ms of CPU for each task run,
# ten times what the flow needs, and it drops events that its queue cannot hold. In batches of 100
# it keeps up.
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
    """The environment for a process that runs Prefect with our own PREFECT_HOME.

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
    """The environment of the server's process. The process itself adds what depends on its
    database, before it imports Prefect."""
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
    """The command of this Python, which does not import modules from the working folder."""
    return [sys.executable, "-P", *words]
