"""`argus-tasks doctor`: what is set up, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.reporting.checks import CheckResult


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="check the set-up: versions, monitor, token, clock, outbox, Prefect's server",
        description="Looks, changes nothing. Exit code 1 where something is broken.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler=_doctor)


def checks() -> list[Callable[[], list[CheckResult]]]:
    """Every check; each returns what it found."""
    from argus_tasks.reporting import checks as monitor

    return [monitor.versions, monitor.server, monitor.outbox, prefect_server, relay]


def prefect_server() -> list[CheckResult]:
    """What the Prefect server that is configured would lose or delay; without one, the embedded
    server is used, which is set as it must be."""
    from argus_tasks.reporting.checks import CheckResult
    from argus_tasks.server.profile import configured_api_url

    url = configured_api_url()
    if url is None:
        return _embedded_server()
    from argus_tasks.base.errors import ArgusTasksError
    from argus_tasks.base.redact import without_login
    from argus_tasks.orchestration.prefect_api.server_settings import access_findings, findings

    shown = without_login(url)
    try:
        said, access = findings(), access_findings()
    except ArgusTasksError as error:
        return [CheckResult("broken", "Prefect", f"PREFECT_API_URL is '{shown}'; {error}")]
    found = [CheckResult("warning", "Prefect", sentence) for sentence in said]
    if not said:
        found = [CheckResult("good", "Prefect", f"{shown} loses and delays nothing")]
    return found + [CheckResult("warning", "Prefect's login", sentence) for sentence in access]


def _embedded_server() -> list[CheckResult]:
    from argus_tasks.reporting.checks import CheckResult
    from argus_tasks.server.control import status

    running = status()
    if running is not None and running.login_file is None:
        said = (
            "the embedded server is from an earlier version and asks for no login: other users of"
            " this machine can run code as you; end its sweeps, then argus-tasks server stop"
        )
        return [CheckResult("warning", "Prefect's login", said)]
    return [CheckResult("good", "Prefect", "no PREFECT_API_URL: the embedded server is used")]


def relay() -> list[CheckResult]:
    """Whether this Prefect lets its events through the relay, which makes them few and bounded."""
    from argus_tasks.prefect_compat.event_relay import Relay
    from argus_tasks.reporting.checks import CheckResult

    if Relay.available():
        return [CheckResult("good", "relay", "one event for a quick task run instead of three")]
    said = (
        "this Prefect has no way in for it: sweeps work, at three events a task run, and may wait"
        " long at exit for a server that is gone; use a Prefect that argus-tasks was made for"
    )
    return [CheckResult("warning", "relay", said)]


def _doctor(args: argparse.Namespace) -> int:
    found = [finding for check in checks() for finding in check()]
    if args.json:
        say(json.dumps([vars(finding) for finding in found], indent=2))
    else:
        for finding in found:
            say(f"{finding.level:8} {finding.what}: {finding.said}")
    return 1 if any(finding.level == "broken" for finding in found) else 0
