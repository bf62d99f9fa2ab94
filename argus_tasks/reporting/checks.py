"""The checks of `argus-tasks doctor` for the monitor and the outbox."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from argus_tasks.base.locks import ProcessLock
from argus_tasks.base.mounts import file_system, on_network
from argus_tasks.base.redact import redact
from argus_tasks.base.urls import is_in_the_clear
from argus_tasks.delivery.outbox_counts import accounts
from argus_tasks.delivery.outbox_folder import Outbox, limit_from_environment, outbox_root, outboxes
from argus_tasks.delivery.transport import HttpTransport
from argus_tasks.reporting.target import disabled, read_token_file, server_url, token_file
from argus_tasks.reporting.target import token_source as tokens

_SKEW_S = 30.0


@dataclass(frozen=True)
class CheckResult:
    """One line of the output of `doctor`.

    Attributes:
        level: good, warning or broken.
        what: the subject.
        said: the finding.
    """

    level: str
    what: str
    said: str


def versions() -> list[CheckResult]:
    """The versions of Python and of the main packages."""
    named = ["argus-tasks", "prefect", "httpx", "psutil", "pydantic"]
    known = []
    for name in named:
        try:
            known.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            return [CheckResult("broken", "versions", f"{name} is not installed")]
    system = f"Python {platform.python_version()} on {platform.system()} {platform.release()}"
    found = [CheckResult("good", "versions", f"{', '.join(known)}; {system}")]
    if sys.platform == "darwin":
        found.append(CheckResult("warning", "platform", "macOS: no /proc, no posix_fallocate"))
    return found


def server() -> list[CheckResult]:
    """Whether the monitor answers and accepts the token, and how far the clocks differ."""
    if disabled():
        return [CheckResult("warning", "monitor", "ARGUS_DISABLE is set: nothing is sent")]
    url = server_url()
    if url is None:
        said = "no server (ARGUS_URL or configs/monitor.yaml): nothing is sent"
        return [CheckResult("warning", "monitor", said)]
    found = _token(url)
    token = tokens(url=url)
    if is_in_the_clear(url) and token():
        said = "it is sent to another machine over plain http, where others can read it: use https"
        found.append(CheckResult("warning", "token", said))
    transport = HttpTransport(url, token)
    try:
        answer = transport.reach()
    finally:
        transport.close()
    shown = redact(url)
    if answer.status is None:
        return [
            *found,
            CheckResult("broken", "monitor", f"{shown} does not answer: {answer.error}"),
        ]
    if answer.status in (401, 403):
        return [
            *found,
            CheckResult("broken", "token", f"{shown} refuses the token ({answer.words})"),
        ]
    if answer.status in (404, 405) or 300 <= answer.status < 400:
        said = f"{shown} has no events route ({answer.words})"
        return [*found, CheckResult("broken", "monitor", said)]
    if answer.status >= 500 or answer.status == 429:
        return [
            *found,
            CheckResult("warning", "monitor", f"{shown} answers with an error ({answer.words})"),
        ]
    found.append(CheckResult("good", "monitor", f"{shown} answers and accepts the token"))
    if answer.date is not None:
        skew_s = time.time() - answer.date
        level = "good" if abs(skew_s) < _SKEW_S else "warning"
        said = f"differs from the server's by {skew_s:+.0f} s"
        found.append(CheckResult(level, "clock", said))
    return found


def _token(url: str) -> list[CheckResult]:
    if os.environ.get("ARGUS_TOKEN", "").strip():
        return [CheckResult("good", "token", "from ARGUS_TOKEN")]
    path = token_file()
    text, problem = read_token_file(path, url)
    if problem:
        return [CheckResult("broken", "token", problem)]
    if text:
        return [CheckResult("good", "token", f"from {path}")]
    return [CheckResult("warning", "token", f"none (ARGUS_TOKEN, or {path} with mode 600)")]


def outbox() -> list[CheckResult]:
    """Whether the outboxes are on a local disk with locks and free space, and what they hold."""
    root = outbox_root()
    there = root
    while not there.exists():
        there = there.parent
    found: list[CheckResult] = []
    kind = file_system(there)
    if on_network(there):
        said = f"{root} is on {kind}: put it on a local disk with ARGUS_OUTBOX_DIR"
        found.append(CheckResult("warning", "outbox", said))
    else:
        found.append(CheckResult("good", "outbox", f"{root} on {kind or 'an unknown file system'}"))
    if not os.access(there, os.W_OK):
        found.append(CheckResult("broken", "outbox", f"{there} cannot be written"))
    free = shutil.disk_usage(there).free
    if free < limit_from_environment():
        said = f"{free // 2**20} MB free, less than the outbox may use (ARGUS_OUTBOX_MAX_MB)"
        found.append(CheckResult("warning", "outbox", said))
    for one in outboxes():
        found += _look(one)
    return found


def _look(one: Outbox) -> list[CheckResult]:
    name = redact(one.url or "no server")
    lock = ProcessLock(os.fspath(one.folder / "doctor.lock"))
    try:
        lock.take()
        lock.give_back(remove=True)
    except OSError as error:
        return [CheckResult("broken", "outbox", f"{one.folder}: cannot be locked: {error}")]
    counted = accounts(one)
    waiting = sum(account.waiting for account in counted)
    missing = sum(account.missing for account in counted)
    aside = len(one.set_aside.all())
    said = f"{name}: {waiting} waiting, {aside} set aside"
    found = [CheckResult("warning" if aside else "good", "events", said)]
    if missing:
        found.append(CheckResult("broken", "events", f"{name}: {missing} events are missing"))
    return found
