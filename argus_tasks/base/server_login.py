"""The environment variables with the URL and the login of the embedded Prefect server."""

from __future__ import annotations

import os
from collections.abc import Mapping

API_URL = "PREFECT_API_URL"
AUTH_STRING = "PREFECT_API_AUTH_STRING"
EMBEDDED_URL = "ARGUS_TASKS_EMBEDDED_API_URL"
"""Set beside PREFECT_API_URL where a process uses the embedded server, to distinguish our value
from one that the user has set."""
LOGIN_NAME = "argus-tasks"
"""The user's name in the embedded server's login, and the name of the Prefect profile for it."""


def names_embedded(environ: Mapping[str, str]) -> bool:
    """Whether PREFECT_API_URL is that of the embedded server, not one that the user has set."""
    url = environ.get(API_URL, "").strip()
    return bool(url) and url == environ.get(EMBEDDED_URL)


def environment_for_experiments() -> dict[str, str]:
    """The environment of this process without the login of the embedded server, which no experiment
    needs. The login of a server of the user's own stays.
    """
    inherited = dict(os.environ)
    if inherited.get(AUTH_STRING, "").startswith(f"{LOGIN_NAME}:"):
        del inherited[AUTH_STRING]
    return inherited
