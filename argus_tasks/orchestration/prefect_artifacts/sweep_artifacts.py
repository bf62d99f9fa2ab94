"""What Prefect's UI shows of a sweep beside its task runs: progress, the leaderboard so far, and at
the end how it came out. None of it is waited for, and a server that is slow or gone costs it only.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any

from prefect.context import FlowRunContext

from argus_tasks.orchestration.prefect_api.prefect_server import PrefectClient, asked_once
from argus_tasks.orchestration.prefect_artifacts.leaderboard_artifact import RunningLeaderboard
from argus_tasks.results.read.direction import better_is
from argus_tasks.session.sweep_session import SweepSession

FIRST_S = 5.0
"""A sweep that is over before this has no progress to show, only its outcome."""
EVERY_S = 5.0
_PATIENCE = 50
"""How many times longer than it took a look is from the next: at most two percent of anything."""
_MOST_FAILURES = 3
_MOST_ROWS = 20
_TOP = 5
_END_LIMIT_S = 1.0
_END_STOPPED_S = 0.2

log = logging.getLogger("argus_tasks")


class SweepArtifacts:
    """A context around a sweep's task runs; `finish` once they have ended, before the exit."""

    def __init__(self, session: SweepSession, flow_run_id: str) -> None:
        self._session = session
        self._artifacts = _FlowRunArtifacts(flow_run_id, session.request.name)
        self._leaderboard = RunningLeaderboard(session)
        self._ended = threading.Event()
        # The flow's context: its settings say which server it is.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="argus-artifacts", daemon=True
        )

    def __enter__(self) -> SweepArtifacts:
        self._thread.start()
        return self

    def finish(self) -> None:
        """All has ended: the outcome is shown meanwhile."""
        self._ended.set()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        most_s = _END_STOPPED_S if self._session.stopping else _END_LIMIT_S
        self._thread.join(self._session.stops.deadline.share(most_s))

    def _run(self) -> None:
        try:
            with asked_once(self._artifacts):
                self._show_until_ended()
        except Exception:
            log.debug("the sweep's artifacts on Prefect's server are not whole", exc_info=True)

    def _show_until_ended(self) -> None:
        pause_s = FIRST_S
        failures = 0
        while not self._ended.wait(pause_s):
            began, worked = time.monotonic(), time.thread_time()
            try:
                self._show()
                failures = 0
            except Exception:  # noqa: BLE001 - the server's, and it only watches
                failures += 1
            took_s = max(time.thread_time() - worked, (time.monotonic() - began) / 5)
            pause_s = max(EVERY_S, _PATIENCE * took_s)
            if failures == _MOST_FAILURES:
                self._ended.wait()
        self._leaderboard.look()
        with suppress(Exception):
            if self._artifacts.begun:
                self._show()
        self._artifacts.put("outcome", "markdown", self._outcome(), "How it came out.")

    def _show(self) -> None:
        self._leaderboard.look()
        snapshot = self._session.progress.snapshot()
        share = 100.0 * snapshot.done / snapshot.total if snapshot.total else 100.0
        said = (
            f"{snapshot.done} of {snapshot.total} done, {snapshot.running} running,"
            f" {snapshot.failed} failed"
        )
        self._artifacts.put("progress", "progress", round(share, 1), said)
        rows = self._leaderboard.rows(_MOST_ROWS)
        if rows:
            better = better_is(self._leaderboard.direction)
            said = f"The best so far by {_safe(str(self._leaderboard.metric))}, {better}."
            self._artifacts.put("leaderboard", "table", json.dumps(rows), said)

    def _outcome(self) -> str:
        session = self._session
        root = session.request.results_root
        lines = [f"# {_safe(session.request.name)}: {session.summary().sentence()}", ""]
        rows = self._leaderboard.rows(_TOP)
        if rows:
            lines += [*markdown_table(rows), ""]
        batch_id = session.plan.batch_id
        lines += [
            f"- Batch `{batch_id}`, runs in `{root}`",
            report_words(root),
        ]
        return "\n".join(lines)


def show_verdict(name: str, message: str, comparison: Sequence[str], report: str) -> None:
    """Show a verdict as the artifact `<name>-verdict` of the flow run that this is called in.

    `comparison` are its lines as text, `report` what is said of the report. A server that does not
    take it is nobody's trouble.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    lines = [f"# {_safe(message)}", "", *(f"    {line}" for line in comparison), "", report]
    try:
        with asked_once(_FlowRunArtifacts(str(context.flow_run.id), name)) as artifacts:
            artifacts.put("verdict", "markdown", "\n".join(lines), "Beside the baseline.")
    except Exception:
        log.debug("the verdict is not on Prefect's server", exc_info=True)


def report_words(root: Path, batch_id: str | None = None) -> str:
    """Where the report of a results root (or of one batch there) is, and what writes it."""
    file = "report.html" if batch_id is None else f"report-{batch_id}.html"
    command = shlex.join(["argus-tasks", "report", str(root)])
    if batch_id is not None:
        command += f" --batch {shlex.quote(batch_id)}"
    return f"- Report: `{root / file}`, which `{command}` writes"


def markdown_table(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """The rows as a Markdown table; all have the keys of the first."""
    titles = list(rows[0])
    return [
        f"| {' | '.join(_safe(title) for title in titles)} |",
        f"|{'---|' * len(titles)}",
        *(f"| {' | '.join(_safe(str(row[title])) for title in titles)} |" for row in rows),
    ]


def _safe(text: str) -> str:
    """A user's text in Markdown: as it is, and never markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~$])", r"\\\1", " ".join(text.split()))


class _FlowRunArtifacts(PrefectClient):
    """The artifacts of a flow run: each made once, then changed."""

    call_limit_s = 3.0

    def __init__(self, flow_run_id: str, name: str) -> None:
        super().__init__()
        self._flow_run_id = flow_run_id
        self._name = re.sub(r"[^a-z0-9]+", "-", name.lower())[:60].strip("-") or "sweep"
        self._ids: dict[str, str] = {}

    @property
    def begun(self) -> bool:
        """True once one has been made."""
        return bool(self._ids)

    def put(self, key: str, kind: str, data: Any, description: str) -> None:
        """Make or change the artifact. Errors: whatever Prefect's client raises."""
        client = self.client()
        body = {"data": data, "description": description}
        known = self._ids.get(key)
        if known is not None:
            client.request("PATCH", "/artifacts/{id}", path_params={"id": known}, json=body)
            return
        body |= {"key": f"{self._name}-{key}", "type": kind, "flow_run_id": self._flow_run_id}
        answer = client.request("POST", "/artifacts/", json=body)
        self._ids[key] = answer.json()["id"]
