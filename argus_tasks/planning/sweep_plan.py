"""What a start of a sweep has to do: read from disk, nothing written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.ids import derive_batch_id, digest_of, job_suffix, new_batch_id
from argus_tasks.base.processes import is_dead
from argus_tasks.base.redact import redact
from argus_tasks.base.repo import repo_of
from argus_tasks.planning.code_changes import (
    code_of_experiment,
    describe_change,
    made_by_other_code,
)
from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.start_order import StartOrder, past_durations, start_order
from argus_tasks.planning.trial import Trial
from argus_tasks.runs.ledger.catalogue import KnownRun, newest_by_digest
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, SweepIdentity, find_batch
from argus_tasks.runs.record.causes import PRUNED
from argus_tasks.runs.record.layout import FAILED, RUNNING, SKIPPED, SUCCEEDED
from argus_tasks.spec.job_names import job_names
from argus_tasks.spec.sections import OnCodeChange


class Action(StrEnum):
    """What happens with a config now."""

    RUN = "run"
    RESUME = "resume"
    REUSE = "reuse"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One config of the plan.

    Attributes:
        index: its place in the plan.
        config: the config.
        digest: SHA-256 of experiment and config; None where nothing can be reused.
        name: its readable name, as Prefect shows it.
        job_id: its name on the monitor: ends in six digits of the batch id.
        model: what is trained, where the config says so.
        dataset: what on, where the config says so.
        action: run it; resume what was cut off; reuse its success; leave what was skipped.
        known: the earlier run that says so.
        run_id: the run that it becomes, once it is this session's to run.
        trial: which trial it is, in a search.
    """

    index: int
    config: dict[str, Any]
    digest: str | None
    name: str
    job_id: str
    model: str | None
    dataset: str | None
    action: Action
    known: KnownRun | None = None
    run_id: str | None = None
    trial: Trial | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All configs of a start, and the batch that they belong to.

    Attributes:
        batch_id: the batch.
        known_batch: it has been started before.
        runs: the configs in order; those of a search have theirs once they have been asked.
        duplicates: equal configs that were made one.
        order: in which order those that will be run are started.
        reason_nothing_reused: why nothing can be reused, where that is so.
        listed: every config of the sweep, as `plan.jsonl` has it: index, digest, job_id, config.
        code: which code this is, see `base.repo.code_of`; None where nobody knows.
        on_code_change: what becomes of what another code has made.
        other_code: the known runs that another code has made, and that are reused, taken up or,
            where `on_code_change` says so, run again.
    """

    batch_id: str
    known_batch: bool
    identity: SweepIdentity
    git_sha: str | None
    runs: Sequence[PlannedRun]
    duplicates: int
    order: StartOrder
    reason_nothing_reused: str | None = None
    plan_lines: tuple[dict[str, Any], ...] = ()
    code: str | None = None
    on_code_change: OnCodeChange = "warn"
    other_code: tuple[KnownRun, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What somebody should know before it is run, a sentence each."""
        sentences = [self.reason_nothing_reused] if self.reason_nothing_reused else []
        if self.other_code:
            done = "run again" if self.on_code_change == "rerun" else "reused or taken up"
            what = f"{len(self.other_code)} runs that are {done} were"
            sentences.append(describe_change(self.other_code, self.code, what))
        return sentences

    @property
    def to_do(self) -> tuple[PlannedRun, ...]:
        """Those that will be run now, in the order in which they are started."""
        return tuple(self.runs[index] for index in self.order.indexes)

    def count(self, action: Action) -> int:
        """How many configs have this action."""
        return sum(run.action is action for run in self.runs)

    @property
    def left_failed(self) -> list[str]:
        """The runs of those that are left because they have failed: a search's trials."""
        left = [run.known for run in self.runs if run.action is Action.LEAVE]
        return [known.run_id for known in left if known is not None and known.status == FAILED]


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """Which batch a start belongs to.

    Attributes:
        identity: what makes two starts the same sweep.
        sha: git's HEAD; None without git.
        batch_id: its id.
        known: it has been started before.
    """

    identity: SweepIdentity
    sha: str | None
    batch_id: str
    known: bool


def batch_of(request: SweepRequest) -> PlannedBatch:
    """The newest batch of the same sweep, or a new one."""
    repo = repo_of(request.results_root.parent) if request.results_root.parent.exists() else None
    sha = repo.sha if repo else None
    identity = identity_of(request)
    sticky = None
    if request.reuse and not request.fresh and request.batch_id is None:
        sticky = find_batch(request.results_root, identity)
    batch_id = request.batch_id or sticky or _new_batch(request, sha)
    return PlannedBatch(identity, sha, batch_id, sticky is not None)


def plan_configs(request: SweepRequest) -> Plan:
    """Decide what to do with each config, from what lies under the results root."""
    experiment, batch = request.experiment, batch_of(request)
    identity, batch_id = batch.identity, batch.batch_id
    reuse = request.reuse and not request.fresh and experiment.identity is not None
    known = newest_by_digest(request.results_root) if reuse else {}

    digests = [_digest(request, config) for config in request.configs]
    kept = list(range(len(digests)))
    if request.reuse:
        first = {digest: index for index, digest in reversed(list(enumerate(digests)))}
        kept = [index for index, digest in enumerate(digests) if first[digest] == index]
    configs = [request.configs[index] for index in kept]
    digests = [digests[index] for index in kept]
    names = job_names(configs, request.spec.job, digests if request.reuse else None)
    before = SweepFolder(request.results_root, batch_id).job_ids() if request.reuse else {}
    ending = f"-{job_suffix(batch_id)}"
    code = code_of_experiment(experiment, request.results_root) if experiment.path else None
    runs: list[PlannedRun] = []
    chosen: list[str] = []
    plan_lines: list[dict[str, Any]] = []
    other_code: list[KnownRun] = []
    for index, (config, digest, named) in enumerate(zip(configs, digests, names, strict=True)):
        found = known.get(digest)
        # A job keeps the id it had in this batch, whatever has been added to the sweep since.
        job_id = before.get(digest) or named.id + ending
        identified = digest if experiment.identity is not None else None
        plan_lines.append(
            {"index": index, "digest": identified, "job_id": job_id, "config": config}
        )
        action = action_of(found)
        if request.only is not None:
            if digest not in request.only:
                continue
            action = Action.RESUME if action is Action.RESUME else Action.RUN
        elif found and action in (Action.REUSE, Action.RESUME) and made_by_other_code(found, code):
            other_code.append(found)
            action = Action.RUN if request.spec.on_code_change == "rerun" else action
        chosen.append(digest)
        runs.append(
            PlannedRun(
                len(runs),
                config,
                identified,
                job_id.removesuffix(ending),
                job_id,
                named.model,
                named.dataset,
                action,
                found,
            )
        )
    duplicates = request.duplicates + len(request.configs) - len(configs)
    order = start_order(
        request.execution.order,
        configs=[run.config for run in runs],
        digests=chosen,
        to_do=[run.index for run in runs if run.action in (Action.RUN, Action.RESUME)],
        done=[run.index for run in runs if run.action is Action.REUSE],
        batch_id=batch_id,
        history=past_durations(request.results_root, identity.experiment, known),
    )
    reason = None
    if request.reuse and not request.fresh and experiment.identity is None:
        reason = f"the code of '{experiment.name}' cannot be identified, so nothing is reused"
    return Plan(
        batch_id,
        batch.known,
        identity,
        batch.sha,
        tuple(runs),
        duplicates,
        order,
        reason,
        tuple(plan_lines),
        code,
        request.spec.on_code_change,
        tuple(other_code),
    )


def refuse_other_code(plan: Plan) -> None:
    """Raise BadInput where `on_code_change` is `stop` and what is known was made by other code."""
    if plan.other_code and plan.on_code_change == "stop":
        what = f"{len(plan.other_code)} runs that would be reused or taken up were"
        raise BadInput(
            f"on_code_change is 'stop', and {describe_change(plan.other_code, plan.code, what)};"
            " expected the same code, or 'warn', 'rerun', or --fresh."
        )


def identity_of(request: SweepRequest) -> SweepIdentity:
    """What makes a later start go on with this sweep."""
    experiment = request.experiment
    which = experiment.identity or f"{experiment.name} (unidentified)"
    return SweepIdentity(request.project, request.name, redact(which))  # a command may hold secrets


def _digest(request: SweepRequest, config: Mapping[str, Any]) -> str:
    identity = request.experiment.identity or request.experiment.name
    return digest_of(identity, config, request.spec.ignore_keys)


def action_of(found: KnownRun | None) -> Action:
    """What the newest run of a config asks for."""
    if found is None:
        return Action.RUN
    if found.status == SUCCEEDED:
        return Action.REUSE
    if found.status == SKIPPED:  # what one search gave up another sweep may want to know
        return Action.RUN if found.record.get("cause") == PRUNED else Action.LEAVE
    if found.status == RUNNING:
        # One whose owner lives is somebody else's: its folder is not ours to write in.
        owner = found.record.get("owner")
        return Action.RESUME if not owner or is_dead(owner) else Action.RUN
    return Action.RESUME if found.resumable else Action.RUN


def _new_batch(request: SweepRequest, sha: str | None) -> str:
    if request.fresh or not request.reuse or sha is None:
        return new_batch_id("sweep")
    return derive_batch_id(request.project, request.name, sha)
