"""Processes that an experiment starts or forks: a Reporter there joins the run, too.

The run's context goes down to them in the environment. What the run's end has to know of them
(where their events end, their metrics) comes back as lines of a file beside the outbox.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from argus_tasks.base.files import append_line, dumps, read_json_lines
from argus_tasks.base.guard import guarded
from argus_tasks.base.ids import slug
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.reporting.roster import Roster
from argus_tasks.reporting.worker_reporter import (
    VARIABLE,
    JoinContext,
    WorkerEmitter,
    any_run_joined,
    close_writers,
    emitter_of_thread,
    sole_emitter,
    writers,
)


@dataclass
class ChildReports:
    """What the processes of a run have told.

    Attributes:
        places: where their events end.
        metrics: what their reporters were given.
        epochs: how many they have sent.
    """

    places: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0


class ChildProcesses:
    """Those of one run, from inside its own process. Made by `export_run`."""

    def __init__(self, context: JoinContext) -> None:
        folder = Path(context.folder) / "rosters"
        self.notes = folder / f"{slug(context.job_id)}-{os.getpid()}.notes"
        self._outbox = Outbox(context.folder)

    def collect(self) -> ChildReports:
        """What they have told by now."""
        found = ChildReports()
        chains: set[str] = set()
        for note in read_json_lines(self.notes):
            if "chain" in note:
                chains.add(str(note["chain"]))
            found.metrics |= note.get("metrics", {})
            found.epochs += int(note.get("epochs", 0))
        if chains:
            found.places = [str(place) for place in self._outbox.ends_of(chains)]
        return found


@contextmanager
def export_run(context: JoinContext) -> Iterator[ChildProcesses]:
    """Within, the processes that this one starts or forks join the run."""
    children = ChildProcesses(context)
    before = os.environ.get(VARIABLE)
    value = {"context": context.to_json(), "notes": os.fspath(children.notes)}
    _unlink(children.notes)
    os.environ[VARIABLE] = dumps(value)
    try:
        yield children
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
        _unlink(children.notes)


def current_emitter() -> WorkerEmitter | None:
    """The run that this thread works for; in a process that an experiment has started, that of the
    experiment."""
    if any_run_joined():
        return emitter_of_thread() or sole_emitter()
    return inherited_emitter() if VARIABLE in os.environ else None


def inherited_emitter() -> WorkerEmitter | None:
    """In a process that an experiment has started: what emits for the experiment's run."""
    if not _mine:
        _mine.append(_make_emitter())
    return _mine[0]


@guarded(default=None)
def _make_emitter() -> WorkerEmitter | None:
    context, notes = _from_environment()
    worker = WorkerEmitter(context, _stop_of(context.stop_file))
    append_line(notes, dumps({"chain": worker.chain}))

    def end() -> None:
        with suppress(OSError):
            append_line(notes, dumps({"metrics": worker.metrics, "epochs": worker.train_epochs}))
            close_writers()

    atexit.register(end)
    return worker


@guarded(default=None)
def record_forked_chain(writer: SegmentWriter) -> None:
    """In a forked process that begins a chain of its own: say so."""
    if VARIABLE in os.environ:
        context, notes = _from_environment()
        Roster(Outbox(context.folder), context.batch_id).add_chain(writer.chain)
        append_line(notes, dumps({"chain": writer.chain}))


def _from_environment() -> tuple[JoinContext, str]:
    value = json.loads(os.environ[VARIABLE])
    return JoinContext.from_json(value["context"]), str(value["notes"])


def _stop_of(path: str | None) -> Callable[[], bool]:
    def stopped() -> bool:
        try:
            with open(str(path), "rb") as handle:  # noqa: PTH123 - asked in training loops
                return handle.read(1) not in (b"", b"\0")
        except OSError:
            return False

    return stopped if path else lambda: False


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _after_fork() -> None:
    if VARIABLE in os.environ:
        for writer in writers():
            writer.on_open = partial(record_forked_chain, writer)


_mine: list[WorkerEmitter | None] = []
os.register_at_fork(after_in_child=_after_fork)
os.register_at_fork(after_in_child=_mine.clear)
