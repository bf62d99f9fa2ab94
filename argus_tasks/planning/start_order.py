"""Computes the start order of a plan, and describes it for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.runs.ledger.catalogue import KnownRun, runs_by_digest
from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.runs.record.layout import SUCCEEDED
from argus_tasks.spec.order import ExpectedDurations, Order, covering, shuffled
from argus_tasks.spec.varying_keys import Pair, Pairs, varying


@dataclass(frozen=True, slots=True)
class StartOrder:
    """The order in which configs are started.

    Attributes:
        indexes: the positions in the plan of the configs to run, in the order of their start.
        note: a description in one line.
    """

    indexes: tuple[int, ...]
    note: str


def start_order(
    order: Order,
    *,
    configs: Sequence[Mapping[str, Any]],
    digests: Sequence[str],
    to_do: Sequence[int],
    done: Iterable[int],
    batch_id: str,
    history: Iterator[tuple[Mapping[str, Any], float]],
) -> StartOrder:
    """Compute the start order of a plan.

    Args:
        order: the option `order`.
        configs: all configs of the plan.
        digests: their digests.
        to_do: the positions of the configs to run.
        done: the positions of the configs that have succeeded before; their values need no smoke
            test.
        batch_id: the seed of `shuffle`.
        history: configs that have succeeded, with their durations in seconds; only `smoke_first`
            reads it.
    """
    if order == "shuffle":
        drawn = shuffled({index: digests[index] for index in to_do}, batch_id)
        return StartOrder(tuple(drawn), "shuffle")
    if order == "given":
        return StartOrder(tuple(to_do), "given")
    made = Pairs()
    every = [made.of(config) for config in configs]
    differing = varying(every)
    tried: set[Pair] = {pair for index in done for pair in differing[index]}
    first = covering({index: set(differing[index]) - tried for index in to_do}, differing)
    ahead = set(first)
    rest = [index for index in to_do if index not in ahead]
    expected = ExpectedDurations((made.of(config), seconds) for config, seconds in history)
    note = f"smoke_first: first {len(first)} that contain each value"
    if expected.count and rest:
        rest.sort(key=lambda index: -expected.seconds(every[index]))
        note += f", then the longest first, as expected from {expected.count} earlier runs"
    elif rest:
        note += ", then as given: no earlier run shows how long they take"
    return StartOrder((*first, *rest), note)


def past_durations(
    results_root: Path, experiment: str, known: Mapping[str, Sequence[KnownRun]]
) -> Iterator[tuple[Mapping[str, Any], float]]:
    """The configs of this experiment that have succeeded under a results root, with their
    durations.

    Args:
        results_root: the results root.
        experiment: the experiment's identity.
        known: all runs by their digests, the best first; read from the results root if it is empty.
    """
    found = known or runs_by_digest(results_root)
    seen: set[str] = set()
    for folder in batches(results_root):
        if (folder.state() or {}).get("experiment") != experiment:
            continue
        for line in folder.plan():
            run = next(iter(found.get(line.get("digest") or "", ())), None)
            if run is None or run.status != SUCCEEDED or run.digest in seen:
                continue
            seconds = run.record.get("duration_sec")
            config = line.get("config")
            if isinstance(seconds, int | float) and isinstance(config, dict):
                seen.add(run.digest or "")
                yield config, float(seconds)
