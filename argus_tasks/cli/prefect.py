"""Prefect's server, for commands that look at it or put it right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from argus_tasks.base.errors import BadInput


@contextmanager
def using_prefect(notice: Callable[[str], None]) -> Iterator[str]:
    """Have PREFECT_API_URL name the configured server, or the embedded one, which is held up to the
    end of this context and started where it is not up. Gives the name under which sessions note it.

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
    """Have PREFECT_API_URL name the configured server, or the embedded one that is up.

    Call it before Prefect is imported. Errors: BadInput where there is none that answers.
    """
    from argus_tasks.server import control

    if _require_configured() is None:
        running = control.status()
        if running is None:
            raise BadInput(
                "no Prefect server is configured (PREFECT_API_URL) and none of ours is running;"
                " start one by a sweep, `make serve` or `argus-tasks server start`."
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
