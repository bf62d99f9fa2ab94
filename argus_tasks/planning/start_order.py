"""The start order of a plan: what it is, and what a person should be told of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.runs.ledger.catalogue import KnownRun, newest_by_digest
from argus_tasks.runs.ledger.sweep_folder import batches
from argus_tasks.runs.record.layout import SUCCEEDED
from argus_tasks.spec.order import ExpectedDurations, Order, covering, shuffled
from argus_tasks.spec.varying_keys import Pair, Pairs, varying


@dataclass(frozen=True, slots=True)
class StartOrder:
    """In which order configs are started.

    Attributes:
        indexes: the places in the plan of those that are to be run, in the order of their start.
        note: one line on it.
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
    """The order of a plan's configs.

    Args:
        order: which.
        configs: all configs of the plan.
        digests: theirs.
        to_do: the places of those that are to be run.
        done: the places of those that have succeeded before: their values have been tried.
        batch_id: what a shuffle is drawn by.
        history: configs that have succeeded, and their seconds; read by `smoke_first` alone.
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
    note = f"smoke_first: {len(first)} first, that have each value once"
    if expected.count and rest:
        rest.sort(key=lambda index: -expected.seconds(every[index]))
        note += f", then the longest first, as {expected.count} earlier runs let expect"
    elif rest:
        note += ", then as given: no earlier run tells how long they take"
    return StartOrder((*first, *rest), note)


def past_durations(
    results_root: Path, experiment: str, known: Mapping[str, KnownRun]
) -> Iterator[tuple[Mapping[str, Any], float]]:
    """The configs of this experiment's runs that have succeeded under a results root, with their
    seconds: from the plans of its batches and the catalogue (`known`, read where it is empty)."""
    found = known or newest_by_digest(results_root)
    seen: set[str] = set()
    for folder in batches(results_root):
        if (folder.state() or {}).get("experiment") != experiment:
            continue
        for line in folder.plan():
            run = found.get(line.get("digest") or "")
            if run is None or run.status != SUCCEEDED or run.digest in seen:
                continue
            seconds = run.record.get("duration_sec")
            config = line.get("config")
            if isinstance(seconds, int | float) and isinstance(config, dict):
                seen.add(run.digest or "")
                yield config, float(seconds)
