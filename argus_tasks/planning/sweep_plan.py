"""Plans a start of a sweep: decides what to do with each config, without writing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from argus_tasks.base.given import given_of, unknown_in
from argus_tasks.base.ids import derive_batch_id, digest_of, job_suffix, new_batch_id
from argus_tasks.base.processes import is_dead
from argus_tasks.base.redact import redact
from argus_tasks.base.repo import code_of, refusal_of, repo_of
from argus_tasks.planning.earlier_runs import CodeReport, EarlierRuns, was_there
from argus_tasks.planning.present_code import PresentCode
from argus_tasks.planning.request import SweepRequest, check_keys
from argus_tasks.planning.start_order import StartOrder, past_durations, start_order
from argus_tasks.planning.trial import Trial
from argus_tasks.runs.ledger.catalogue import KnownRun
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, SweepIdentity, find_batch
from argus_tasks.runs.record.causes import PRUNED
from argus_tasks.runs.record.layout import FAILED, RUNNING, SKIPPED, SUCCEEDED, SWEEP_JSON
from argus_tasks.spec.job_names import job_names


class Action(StrEnum):
    """What is done with a config at this start."""

    RUN = "run"
    RESUME = "resume"
    REUSE = "reuse"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One config of the plan.

    Attributes:
        index: its position in the plan.
        config: the config.
        digest: SHA-256 of experiment and config; None if nothing can be reused.
        name: its readable name in Prefect.
        job_id: its name on the monitor, which ends in six digits of the batch id.
        model: the model, if the config names one.
        dataset: the dataset, if the config names one.
        action: run it, resume it, reuse its success, or leave it as it is.
        known: the earlier run that the action follows from.
        run_id: the id of its run, once this session has claimed it.
        trial: its trial, in a search.
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
    """All configs of a start, and their batch.

    Attributes:
        batch_id: the batch.
        known_batch: whether the batch has been started before.
        identity: what makes two starts the same sweep.
        git_sha: Git's HEAD; None without Git.
        runs: the configs, in order; a search's trials get theirs when they are drawn.
        duplicates: the number of equal configs that were merged.
        order: the order in which configs are started.
        reason_nothing_reused: why nothing can be reused; None if it can.
        plan_lines: the lines of `plan.jsonl`, one for every config: index, digest, job_id, config,
            and `given` where JSON does not give back all of the config.
        present: the code that runs will execute.
        code: the version of the code, as `base.repo.code_of` gives it; a label, None without Git.
        code_report: what there is to say of the code of the runs that this start follows.
        earlier: the runs under the results root; None if nothing is reused.
        git_refuses: what to do where git refuses to answer; empty where it does not.
        unknown: of each config that nothing can be reused for, what of it is known by its address
            only.
    """

    batch_id: str
    known_batch: bool
    identity: SweepIdentity
    git_sha: str | None
    runs: Sequence[PlannedRun]
    duplicates: int
    order: StartOrder
    present: PresentCode
    reason_nothing_reused: str | None = None
    plan_lines: tuple[dict[str, Any], ...] = ()
    code: str | None = None
    code_report: CodeReport = field(default_factory=CodeReport)
    earlier: EarlierRuns | None = None
    unknown: tuple[str, ...] = ()
    git_refuses: str = ""

    @property
    def notes(self) -> list[str]:
        """What a person should know before the start, one sentence each."""
        sentences = [self.reason_nothing_reused] if self.reason_nothing_reused else []
        if self.unknown and not self.reason_nothing_reused:
            sentences.append(
                f"{len(self.unknown)} of {len(self.plan_lines)} configs are never reused: they hold"
                f" objects whose text is only an address ({self.unknown[0]})"
            )
        refused = [self.git_refuses] if self.git_refuses else []
        return [*sentences, *refused, *self.code_report.notes]

    @property
    def to_do(self) -> tuple[PlannedRun, ...]:
        """The configs that will be run, in the order of their start."""
        return tuple(self.runs[index] for index in self.order.indexes)

    def count(self, action: Action) -> int:
        """The number of configs with this action."""
        return sum(run.action is action for run in self.runs)

    @property
    def left_failed(self) -> list[str]:
        """The ids of failed runs that are left as they are: trials of a search."""
        left = [run.known for run in self.runs if run.action is Action.LEAVE]
        return [known.run_id for known in left if known is not None and known.status == FAILED]


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """The batch that a start belongs to.

    Attributes:
        identity: what makes two starts the same sweep.
        sha: Git's HEAD; None without Git.
        batch_id: its id.
        known: whether it has been started before.
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
        sticky = find_batch(request.results_root, identity) or _former_batch(request)
    batch_id = request.batch_id or sticky or _new_batch(request, sha)
    return PlannedBatch(identity, sha, batch_id, sticky is not None)


def plan_configs(request: SweepRequest) -> Plan:
    """Decide what to do with each config, from the runs under the results root."""
    experiment, batch = request.experiment, batch_of(request)
    identity, batch_id = batch.identity, batch.batch_id
    present = PresentCode.of(request)
    earlier = earlier_runs(request, present)
    report = CodeReport(request.spec.on_code_change)
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
    runs: list[PlannedRun] = []
    chosen: list[str] = []
    plan_lines: list[dict[str, Any]] = []
    unknown: list[str] = []
    for index, (config, digest, named) in enumerate(zip(configs, digests, names, strict=True)):
        given = given_of(config)
        check_keys(kept[index], given)
        unsure = unknown_in(given, request.spec.ignore_keys)
        if unsure:
            unknown.append(unsure)
        before_it = earlier.of(config, digest) if earlier is not None and not unsure else None
        found = before_it.run if before_it is not None else None
        # A job keeps its id within a batch, even if configs have been added to the sweep.
        job_id = before.get(digest) or named.id + ending
        identified = None if unsure or experiment.identity is None else digest
        plan_lines.append(
            {"index": index, "digest": identified, "job_id": job_id, "config": config}
            | ({"given": given} if given else {})
        )
        action = action_of(found)
        if request.only is not None:
            if digest not in request.only:
                continue
            action = Action.RESUME if action is Action.RESUME else Action.RUN
        elif before_it is not None and action is not Action.RUN and not report.take(before_it):
            action = Action.RUN
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
        history=past_durations(
            request.results_root,
            identity.experiment,
            earlier.by_digest if earlier is not None else {},
        ),
    )
    reason = None
    if request.reuse and not request.fresh and experiment.identity is None:
        reason = f"the code of '{experiment.name}' cannot be identified, so nothing is reused"
    label = code_label(request)
    return Plan(
        batch_id,
        batch.known,
        identity,
        batch.sha,
        tuple(runs),
        duplicates,
        order,
        present,
        reason,
        tuple(plan_lines),
        label,
        report,
        earlier,
        tuple(unknown),
        "" if label is not None else git_refusal(present),
    )


def earlier_runs(request: SweepRequest, present: PresentCode) -> EarlierRuns | None:
    """The runs that a start may follow; None where nothing is reused."""
    reuse = request.reuse and not request.fresh and request.experiment.identity is not None
    return EarlierRuns(request, present) if reuse else None


def git_refusal(present: PresentCode) -> str:
    """What to do where git refuses to answer for the project; empty where it does not, or where
    there is none."""
    top = Path(present.top)
    return refusal_of(top) if (top / ".git").exists() else ""


def code_label(request: SweepRequest) -> str | None:
    """The version of the code as Git gives it; None without Git, and where it refuses."""
    mark = request.experiment.mark
    folder = Path(mark.top, mark.entry).parent if mark is not None else Path.cwd()
    return code_of(folder, request.results_root) if folder.is_dir() else None


def identity_of(request: SweepRequest) -> SweepIdentity:
    """What makes a later start the same sweep."""
    experiment = request.experiment
    which = experiment.identity or f"{experiment.name} (unidentified)"
    return SweepIdentity(request.project, request.name, redact(which))  # a command may hold secrets


def _digest(request: SweepRequest, config: Mapping[str, Any]) -> str:
    identity = request.experiment.identity or request.experiment.name
    return digest_of(identity, config, request.spec.ignore_keys)


def action_of(found: KnownRun | None) -> Action:
    """The action that follows from the newest run of a config."""
    if found is None:
        return Action.RUN
    if found.status == SUCCEEDED:
        return Action.REUSE
    if found.status == SKIPPED:  # another sweep may need the result of a pruned trial
        return Action.RUN if found.record.get("cause") == PRUNED else Action.LEAVE
    if found.status == RUNNING:
        # If its owner is alive, its folder must not be written to.
        owner = found.record.get("owner")
        return Action.RESUME if not owner or is_dead(owner) else Action.RUN
    return Action.RESUME if found.resumable else Action.RUN


def _new_batch(request: SweepRequest, sha: str | None) -> str:
    if request.fresh or not request.reuse or sha is None:
        return new_batch_id("sweep")
    derived = derive_batch_id(request.project, request.name, sha)
    taken = SweepFolder(request.results_root, derived).state() is not None
    return new_batch_id("sweep") if taken else derived  # by another experiment of this name


def _former_batch(request: SweepRequest) -> str | None:
    """The newest batch of the same sweep from before its experiment was known by its file."""
    experiment = request.experiment
    if experiment.former_identity is None or experiment.mark is None:
        return None
    former = SweepIdentity(request.project, request.name, redact(experiment.former_identity))
    found = find_batch(request.results_root, former)
    if found is None:
        return None
    state = SweepFolder(request.results_root, found).path / SWEEP_JSON
    return found if was_there(state, experiment.mark) else None
