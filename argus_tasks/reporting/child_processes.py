"""Processes that an experiment starts or forks: a Reporter in them belongs to the run, too.

They get the run's context in an environment variable. What the run's last event needs from them
(where their events end, their metrics) they write to a file beside the outbox, as lines of JSON.
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
    """What the child processes of a run have reported.

    Attributes:
        places: where their events end in the outbox.
        metrics: the metrics that their reporters were given.
        epochs: how many epochs they have reported.
    """

    places: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0


class ChildProcesses:
    """The child processes of one run, seen from the run's own process. Made by `export_run`."""

    def __init__(self, context: JoinContext) -> None:
        folder = Path(context.folder) / "rosters"
        self.notes = folder / f"{slug(context.job_id)}-{os.getpid()}.notes"
        self._outbox = Outbox(context.folder)

    def collect(self) -> ChildReports:
        """What they have reported so far."""
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
    """Within this block, processes that this one starts or forks emit events for the run."""
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
    """What emits for the run that this thread executes; in a child process of an experiment, for
    the experiment's run. None outside of a sweep."""
    if any_run_joined():
        return emitter_of_thread() or sole_emitter()
    return inherited_emitter() if VARIABLE in os.environ else None


def inherited_emitter() -> WorkerEmitter | None:
    """In a child process of an experiment: what emits for the experiment's run."""
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
    """In a forked process: record the chain that it has opened, for the run's end."""
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
