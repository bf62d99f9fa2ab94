"""The current reporter of this process: `emit`, and the current batch id."""

from __future__ import annotations

from typing import Any, Protocol

from argus_tasks.base import ids
from argus_tasks.base.guard import guarded
from argus_tasks.base.repo import repo_of
from argus_tasks.reporting.child_processes import current_emitter
from argus_tasks.reporting.sinks import emit_any
from argus_tasks.reporting.worker_reporter import emitter_of_thread


class Emitting(Protocol):
    """What this module needs of a reporter."""

    @property
    def batch_id(self) -> str | None:
        """The id of the batch that it reports."""

    def emit(self, event: str, **fields: Any) -> None:
        """Send an event."""


_reporters: list[Emitting] = []
_batch_id: list[str] = []


def push(reporter: Emitting) -> None:
    """Make a reporter the current one."""
    _reporters.append(reporter)


def pop(reporter: Emitting) -> None:
    """Remove a reporter; the one before it is the current one again."""
    if reporter in _reporters:
        _reporters.remove(reporter)


def innermost() -> Emitting | None:
    """The current reporter: the one entered last in this process; None outside of all."""
    return _reporters[-1] if _reporters else None


def chosen_batch_id(prefix: str) -> str:
    """The batch id of a reporter that was given none: that of `set_batch_id`, else a new one."""
    return _batch_id[-1] if _batch_id else ids.new_batch_id(str(prefix))


@guarded(default=None)
def emit(event: str, **fields: Any) -> None:
    """Send an event from anywhere in the code, without a reporter at hand. Never raises.

    The event belongs to the run of a sweep that this thread executes, else to the reporter that was
    entered last in this process. Without either, nothing happens.

    Args:
        event: the event's type, such as `job_epoch`. A type that the server does not know is sent
            as a `log_line` that holds it.
        fields: the event's data. `job_id` is the job that the event belongs to; by default the
            running job.

    Examples:
        >>> from argus_tasks import Reporter, emit
        >>> with Reporter("bench") as reporter, reporter.job("mlp"):
        ...     emit("job_epoch", epoch=0, train_loss=0.5)
        ...     emit("log_line", line="loaded", level="info")
    """
    worker = emitter_of_thread() or (None if _reporters else current_emitter())
    if worker is not None:
        context = worker.context
        emit_any(worker.emitter.emit, context.batch_id, context.job_id, event, fields)
    elif _reporters:
        _reporters[-1].emit(event, **fields)


def new_batch_id(prefix: str = "batch") -> str:
    """A new batch id.

    Args:
        prefix: what the id begins with.

    Returns:
        `<prefix>-<12 random hex digits>`.
    """
    return ids.new_batch_id(prefix)


def set_batch_id(batch_id: str) -> None:
    """Set the batch id of all reporters made later in this process without a batch id.

    A reporter that exists already keeps its batch.

    Args:
        batch_id: the id.
    """
    _batch_id[:] = [batch_id]


def get_batch_id() -> str | None:
    """The id of the current batch.

    Returns:
        The batch of the run or reporter that `emit` would send to; outside of all, the id of
        `set_batch_id`; None where there is none.

    Examples:
        >>> from argus_tasks import Reporter, get_batch_id
        >>> with Reporter(batch_id="bench-1"):
        ...     get_batch_id()
        'bench-1'
    """
    worker = emitter_of_thread() or (None if _reporters else current_emitter())
    if worker is not None:
        return worker.context.batch_id
    if _reporters:
        return _reporters[-1].batch_id
    return _batch_id[-1] if _batch_id else None


def derive_batch_id(
    project: str, experiment_name: str, git_sha: str | None = None, *, prefix: str = "bench"
) -> str:
    """The batch id that is the same for the same code, wherever it is computed.

    Args:
        project: the project's name.
        experiment_name: the name of the sweep or experiment.
        git_sha: the full SHA of the commit; by default that of HEAD. An empty one, or no git,
            counts as the text `no-git`.
        prefix: what the id begins with.

    Returns:
        `<prefix>-<16 hex digits>`: a SHA-256 over the other three.

    Examples:
        >>> from argus_tasks import derive_batch_id
        >>> derive_batch_id("forecast", "nightly", "")
        'bench-22427ab108bb11b1'
    """
    if git_sha is None:
        from argus_tasks.reporting.environment import working_folder

        repo = repo_of(working_folder())
        git_sha = repo.sha if repo else None
    return ids.derive_batch_id(project, experiment_name, git_sha, prefix=prefix)
