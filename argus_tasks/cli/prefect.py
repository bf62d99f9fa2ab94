"""Prefect's server, for commands that read or repair what it has recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from argus_tasks.base.errors import BadInput


@contextmanager
def using_prefect(notice: Callable[[str], None]) -> Iterator[str]:
    """Set PREFECT_API_URL to the configured server, else start the embedded one, and keep it
    running until the context ends. Yields the server's name as sessions record it.

    Enter it before Prefect is imported. Errors: BadInput where the configured server does not
    answer; ArgusTasksError where the embedded server does not start.
    """
    from argus_tasks.api.launch import EMBEDDED
    from argus_tasks.server.embedded import hold

    url = _require_configured()
    if url is not None:
        yield url
        return
    with hold(notice=notice) as held:
        held.wait_healthy()
        os.environ.update(held.environment())
        yield EMBEDDED


def use_running_prefect() -> None:
    """Set PREFECT_API_URL to the configured server, or to the embedded one that is running.

    Call it before Prefect is imported. Errors: BadInput where no server answers.
    """
    from argus_tasks.server import control

    if _require_configured() is None:
        running = control.status()
        if running is None:
            raise BadInput(
                "PREFECT_API_URL is not set and no embedded server is running; start one with a"
                " sweep, `make serve` or `argus-tasks server start`."
            )
        os.environ.update(running.environment)


def _require_configured() -> str | None:
    from argus_tasks.server.profile import configured_api_url

    url = configured_api_url()
    if url is not None:
        os.environ["PREFECT_API_URL"] = url
        from argus_tasks.orchestration.prefect_api.prefect_server import require_server

        require_server()
    return url
