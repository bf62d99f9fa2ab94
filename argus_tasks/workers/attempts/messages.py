"""The messages between a sweep and the process that executes an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from argus_tasks.runs.context.trial_reports import TrialLink
from argus_tasks.runs.ledger.claims import Claim
from argus_tasks.runs.record.layout import FAILED
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.runs.record.run_record import Ending, RunKey
from argus_tasks.spec.retry import RetryPolicy

if TYPE_CHECKING:
    from argus_tasks.reporting.worker_reporter import JoinContext


@dataclass(frozen=True, slots=True)
class Reported:
    """What an attempt has sent to the monitor.

    Attributes:
        last: the positions in the outbox of its last events, as text; the job's end must follow
            them.
        metrics: the metrics that the experiment's own reporters were given.
        train_epochs: the number of epochs that were sent.
        resources: see `workers.attempts.resource_usage`.
    """

    last: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    train_epochs: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assignment:
    """An attempt that is to be executed.

    Attributes:
        key: the run.
        config: its config.
        meta: the run's metadata, with the number of this attempt.
        retry: the policy that decides whether another attempt follows, which the record says.
        resumed: whether an earlier attempt was cut off and left this folder.
        claim: the claim of the config; None if configs are not claimed.
        join: how to send events to the monitor; None without a monitor.
        environment: environment variables that its worker must have in addition to those of all
            workers.
        alone: whether no other attempt may use memory at the same time.
        trial: the connection to the search that it is a trial of; None without a search.
    """

    key: RunKey
    config: dict[str, Any]
    meta: RunMetadata
    retry: RetryPolicy
    resumed: bool = False
    join: JoinContext | None = None
    claim: Claim | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False
    trial: TrialLink | None = None

    @property
    def lost(self) -> bool:
        """Whether another sweep has taken the config over; then nothing may be written any more."""
        return self.claim is not None and not self.claim.is_current()

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self.meta.attempt or 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, in values that any process can read.

    Attributes:
        ending: its status, cause and error.
        kinds: the names that `retry_on` can match: the cause, the exception's class and its bases.
        stack: the stack trace; empty without one.
        metrics: the finite numbers at the top level of the result.
        not_finite: the metrics that are nan or an infinity, as JSON pointers.
        duration_s: the duration of this attempt in seconds.
        files: the SHA-256 of the run's files, as `runs.record.hashes` makes them.
        unwritten: whether the run's folder lacks this outcome: the worker died, or the disk is
            full.
        free_retry: whether the run is retried without counting this attempt towards `max_attempts`.
        reported: what was sent to the monitor; None without a monitor.
        manifest: the name of the list of the code that it executed; None where that is not known.
    """

    ending: Ending
    kinds: tuple[str, ...] = ()
    stack: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    not_finite: tuple[str, ...] = ()
    duration_s: float = 0.0
    files: dict[str, Any] = field(default_factory=dict)
    unwritten: bool = False
    free_retry: bool = False
    reported: Reported | None = None
    manifest: str | None = None

    def is_retried(self, policy: RetryPolicy, attempt: int) -> bool:
        """Whether another attempt of the run follows this one in the same session.

        The worker, the parent of a dead worker, the session and Prefect all ask this.

        Args:
            policy: the policy that holds for the run.
            attempt: the number of this attempt as the policy counts it, from 1.
        """
        if self.ending.status != FAILED or self.ending.resumable:
            return False
        return self.free_retry or policy.allows(self.kinds, attempt)
