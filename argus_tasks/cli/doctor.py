"""`argus-tasks doctor`: check the set-up, and say what to do about what is missing."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
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
        description="Check the set-up and change nothing. Exit code 1 if something is broken.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=_doctor)


def checks() -> list[Callable[[], list[CheckResult]]]:
    """Every check; each returns what it found."""
    from argus_tasks.reporting import checks as monitor

    return [monitor.versions, monitor.server, monitor.outbox, prefect_server, hooks]


def prefect_server() -> list[CheckResult]:
    """Settings of the configured Prefect server that would lose or delay records. Without one the
    embedded server is used, which is set up correctly."""
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
        sentences, access = findings(), access_findings()
    except ArgusTasksError as error:
        return [CheckResult("broken", "Prefect", f"PREFECT_API_URL is '{shown}'; {error}")]
    found = [CheckResult("warning", "Prefect", sentence) for sentence in sentences]
    if not sentences:
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


def hooks() -> list[CheckResult]:
    """Whether each hook into Prefect's undocumented parts works with the installed version."""
    from argus_tasks.reporting.checks import CheckResult

    command = [sys.executable, "-m", "argus_tasks.prefect_compat.all_hooks"]
    environment = {**os.environ, "PREFECT_LOGGING_LEVEL": "ERROR"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return [CheckResult("warning", "hooks", f"cannot be looked at: {said}")]
    results = []
    for hook in found:
        if hook["stands_back"] is None:
            said = f"{hook['name']}: active: {hook['does']}"
            results.append(CheckResult("good", "hook", said))
        else:
            said = f"{hook['name']}: stands back ({hook['stands_back']}): {hook['without']}"
            results.append(CheckResult("warning", "hook", said))
    return results


def _doctor(args: argparse.Namespace) -> int:
    found = [finding for check in checks() for finding in check()]
    if args.json:
        say(json.dumps([vars(finding) for finding in found], indent=2))
    else:
        for finding in found:
            say(f"{finding.level:8} {finding.what}: {finding.said}")
    return 1 if any(finding.level == "broken" for finding in found) else 0
