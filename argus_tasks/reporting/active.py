"""What the process reports on now: `emit`, and the current batch id."""

from __future__ import annotations

from typing import Any, Protocol

from argus_tasks.base import ids
from argus_tasks.base.guard import guarded
from argus_tasks.base.repo import repo_of
from argus_tasks.reporting.child_processes import current_emitter
from argus_tasks.reporting.sinks import emit_any
from argus_tasks.reporting.worker_reporter import emitter_of_thread


class Emitting(Protocol):
    """A reporter, as far as it is needed here."""

    @property
    def batch_id(self) -> str | None:
        """The batch that it reports on."""

    def emit(self, event: str, **fields: Any) -> None:
        """Emit an event."""


_reporters: list[Emitting] = []
_batch_id: list[str] = []


def push(reporter: Emitting) -> None:
    """A reporter was entered."""
    _reporters.append(reporter)


def pop(reporter: Emitting) -> None:
    """A reporter was left."""
    if reporter in _reporters:
        _reporters.remove(reporter)


def innermost() -> Emitting | None:
    """The reporter that was entered last in this process and has not been left."""
    return _reporters[-1] if _reporters else None


def chosen_batch_id(prefix: str) -> str:
    """The batch of a reporter that was given none: `set_batch_id`'s, else a fresh one."""
    return _batch_id[-1] if _batch_id else ids.new_batch_id(str(prefix))


@guarded(default=None)
def emit(event: str, **fields: Any) -> None:
    """Emit for this thread's run of a sweep, else on the reporter that was entered last in this
    process, from any thread. Does nothing without one. Never raises."""
    worker = emitter_of_thread() or (None if _reporters else current_emitter())
    if worker is not None:
        context = worker.context
        emit_any(worker.emit, context.batch_id, context.job_id, event, fields)
    elif _reporters:
        _reporters[-1].emit(event, **fields)


def new_batch_id(prefix: str = "batch") -> str:
    """A fresh batch id: `<prefix>-<12 hex digits>`."""
    return ids.new_batch_id(prefix)


def set_batch_id(batch_id: str) -> None:
    """The batch of the reporters made from now on in this process that are given none."""
    _batch_id[:] = [batch_id]


def get_batch_id() -> str | None:
    """The batch that is reported on now; else what `set_batch_id` was given; else None."""
    worker = emitter_of_thread() or (None if _reporters else current_emitter())
    if worker is not None:
        return worker.context.batch_id
    if _reporters:
        return _reporters[-1].batch_id
    return _batch_id[-1] if _batch_id else None


def derive_batch_id(
    project: str, experiment_name: str, git_sha: str | None = None, *, prefix: str = "bench"
) -> str:
    """The batch id that every tool derives alike for this code: `<prefix>-<16 hex digits>`.

    Args:
        project: the project's name.
        experiment_name: the sweep's, or the experiment's.
        git_sha: the commit's full SHA; by default HEAD's. An empty one, or no git, counts as the
            text `no-git`.
        prefix: what the id begins with.
    """
    if git_sha is None:
        from argus_tasks.reporting.environment import working_folder

        repo = repo_of(working_folder())
        git_sha = repo.sha if repo else None
    return ids.derive_batch_id(project, experiment_name, git_sha, prefix=prefix)
