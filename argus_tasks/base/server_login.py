"""How processes know the embedded Prefect server and its login: the variables that say so."""

from __future__ import annotations

import os
from collections.abc import Mapping

API_URL = "PREFECT_API_URL"
AUTH_STRING = "PREFECT_API_AUTH_STRING"
EMBEDDED_URL = "ARGUS_TASKS_EMBEDDED_API_URL"
"""Beside PREFECT_API_URL in the environment of a process that uses the embedded server: tells our
own value from the user's."""
LOGIN_NAME = "argus-tasks"
"""The user's name in the embedded server's login, and the name of the Prefect profile for it."""


def names_embedded(environ: Mapping[str, str]) -> bool:
    """Whether PREFECT_API_URL there is the embedded server's and not one that the user has set."""
    url = environ.get(API_URL, "").strip()
    return bool(url) and url == environ.get(EMBEDDED_URL)


def environment_for_experiments() -> dict[str, str]:
    """This process's environment less the embedded server's login, which no experiment needs.

    A login for a server of the user's own stays: it is there because the user wants it so.
    """
    inherited = dict(os.environ)
    if inherited.get(AUTH_STRING, "").startswith(f"{LOGIN_NAME}:"):
        del inherited[AUTH_STRING]
    return inherited
