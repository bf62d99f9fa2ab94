"""What a test run says last: skips that CI does not accept, and what passed at the second try."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ALLOWED = Path(__file__).parents[1] / "allowed_skips.txt"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where CI is set, a skip that is not on the committed list is a failure; where
    SECOND_TRIES names a file, the tests that passed only at the second try are added to it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):  # xdist's workers tell theirs
        return
    passed = {report.nodeid for report in reporter.stats.get("passed", [])}
    again = sorted({report.nodeid for report in reporter.stats.get("rerun", [])} & passed)
    if again and (file := os.environ.get("SECOND_TRIES")):
        with Path(file).open("a") as handle:
            handle.writelines(f"{name}\n" for name in again)
    if not os.environ.get("CI") or exitstatus != 0:
        return
    lines = ALLOWED.read_text().splitlines()
    allowed = tuple(line for line in lines if line and not line.startswith("#"))
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(allowed):
            print(f"\nskipped, and not on tests/allowed_skips.txt: {report.nodeid}: {reason}")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
