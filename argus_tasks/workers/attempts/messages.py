"""What crosses the border between a sweep and the process that executes an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from argus_tasks.runs.context.trial_reports import TrialLink
from argus_tasks.runs.ledger.claims import Claim
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.runs.record.run_record import Ending, RunKey
from argus_tasks.spec.retry import RetryPolicy

if TYPE_CHECKING:
    from argus_tasks.reporting.worker_reporter import JoinContext


@dataclass(frozen=True, slots=True)
class Reported:
    """What an attempt came to, for the monitor.

    Attributes:
        last: where its last events end, as text; the job's end goes after them.
        metrics: what the experiment's own reporters were given.
        train_epochs: how many epochs were sent.
        resources: see `workers.attempts.resource_usage`.
    """

    last: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    train_epochs: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is to be run.

    Attributes:
        key: which run.
        config: its config.
        meta: the run's metadata, its attempt in it.
        retry: the sweep's policy, so that the record can say whether another try follows.
        resumed: an earlier try was cut off and left this folder.
        claim: what says that the config is the sweep's to run; None where nothing does.
        join: how to tell the monitor of it; None where there is none.
        environment: what the environment of its worker must have besides that of the others.
        alone: nothing else is to take memory meanwhile.
        trial: how it talks with the search that it is a trial of; None where it is none.
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
        """True where another has taken the config over: nothing may be written any more."""
        return self.claim is not None and not self.claim.is_current()

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return self.meta.attempt or 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, in values that any process can read.

    Attributes:
        ending: status, cause, error.
        kinds: what `retry_on` may name: the cause, and the exception's class and its bases.
        stack: the stack trace, empty where there is none.
        metrics: the numbers of the result's top level, for those who watch.
        duration_s: this attempt's seconds.
        files: SHA-256 of the run's files: `runs.record.hashes`.
        unwritten: the run's folder does not tell of it yet: its worker is dead, or the disk full.
        forgiven: it is tried again, and this try does not count.
        reported: what the monitor is to know of it; None where it has none, or cannot be reached.
    """

    ending: Ending
    kinds: tuple[str, ...] = ()
    stack: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    duration_s: float = 0.0
    files: dict[str, Any] = field(default_factory=dict)
    unwritten: bool = False
    forgiven: bool = False
    reported: Reported | None = None
