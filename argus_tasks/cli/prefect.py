"""Prefect's server, for commands that look at it or put it right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def using_prefect(notice: Callable[[str], None]) -> Iterator[str]:
    """Have PREFECT_API_URL name the configured server, or the embedded one, which is held up to the
    end of this context and started where it is not up. Gives the name under which sessions note it.

    Enter it before Prefect is imported. Errors: ArgusTasksError where the embedded server does not
    start.
    """
    from argus_tasks.api.launch import EMBEDDED
    from argus_tasks.server.embedded import hold
    from argus_tasks.server.profile import configured_api_url

    url = configured_api_url()
    if url is not None:
        yield url
        return
    with hold(notice=notice) as held:
        held.wait_healthy()
        os.environ.update(held.environment())
        yield EMBEDDED
