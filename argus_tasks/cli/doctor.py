"""`argus-tasks doctor`: what is set up, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.reporting.checks import Finding


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="check the set-up: versions, monitor, token, clock, outbox, Prefect's server",
        description="Looks, changes nothing. Exit code 1 where something is broken.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler=_doctor)


def checks() -> list[Callable[[], list[Finding]]]:
    """Every check; each returns what it found."""
    from argus_tasks.reporting import checks as monitor

    return [monitor.versions, monitor.server, monitor.outbox, prefect_server, relay]


def prefect_server() -> list[Finding]:
    """What the Prefect server that is configured would lose or delay; without one, the embedded
    server is used, which is set as it must be."""
    from argus_tasks.reporting.checks import Finding
    from argus_tasks.server.profile import configured_api_url

    url = configured_api_url()
    if url is None:
        return [Finding("good", "Prefect", "no PREFECT_API_URL: the embedded server is used")]
    from argus_tasks.base.errors import ArgusTasksError
    from argus_tasks.orchestration.server_settings import findings

    try:
        said = findings()
    except ArgusTasksError as error:
        return [Finding("broken", "Prefect", f"PREFECT_API_URL is '{url}'; {error}")]
    if not said:
        return [Finding("good", "Prefect", f"{url} loses and delays nothing")]
    return [Finding("warning", "Prefect", sentence) for sentence in said]


def relay() -> list[Finding]:
    """Whether this Prefect lets its events through the relay, which makes them few and bounded."""
    from argus_tasks.orchestration.relay import Relay
    from argus_tasks.reporting.checks import Finding

    if Relay.available():
        return [Finding("good", "relay", "one event for a quick task run instead of three")]
    said = (
        "this Prefect has no way in for it: sweeps work, at three events a task run, and may wait"
        " long at exit for a server that is gone; use a Prefect that argus-tasks was made for"
    )
    return [Finding("warning", "relay", said)]


def _doctor(args: argparse.Namespace) -> int:
    found = [finding for check in checks() for finding in check()]
    if args.json:
        say(json.dumps([vars(finding) for finding in found], indent=2))
    else:
        for finding in found:
            say(f"{finding.level:8} {finding.what}: {finding.said}")
    return 1 if any(finding.level == "broken" for finding in found) else 0
