"""Finds the config keys that name the model and the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.results.tables.leaderboard import Group, Leaderboard
from argus_tasks.results.tables.table import keys_shown, titles_of, value_text

_MODELS = (
    "model", "model_name", "method", "algorithm", "algo", "estimator", "learner", "architecture",
    "arch", "network", "backbone", "policy", "agent", "forecaster", "classifier",
)  # fmt: skip
_DATASETS = (
    "dataset", "dataset_name", "data", "series", "task", "benchmark", "corpus", "env",
    "environment", "problem", "domain",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Axes:
    """The dotted config keys of model and dataset, which vary; None where no such key is known."""

    model: str | None
    dataset: str | None


def axes_of(board: Leaderboard, model: str | None = None, dataset: str | None = None) -> Axes:
    """The axes of a leaderboard: those given, else keys with a usual name.

    Errors: BadInput for a key by which the rows do not differ.
    """
    for name, key in (("model", model), ("dataset", dataset)):
        if key is not None and key not in board.keys:
            raise BadInput(
                f"the {name} key is {key!r}, which does not vary; those that vary are "
                f"{', '.join(board.keys) or 'none'}.{did_you_mean(key, board.keys)}"
            )
    return Axes(
        model or _usual([key for key in board.keys if key != dataset], _MODELS),
        dataset or _usual([key for key in board.keys if key != model], _DATASETS),
    )


def _usual(keys: Sequence[str], names: Sequence[str]) -> str | None:
    for name in names:
        for key in keys:
            if key.rpartition(".")[2].lower() == name:
                return key
    return None


def group_names(board: Leaderboard, without: str | None = None) -> dict[int, str]:
    """A short name for each group, by `id(group)`: the values of the distinguishing keys."""
    keys = [key for key in keys_shown(board) if key != without]
    titles = titles_of(keys)
    return {id(group): _name(group, keys, titles) for group in board.groups}


def _name(group: Group, keys: Sequence[str], titles: Sequence[str]) -> str:
    parts = []
    for key, title in zip(keys, titles, strict=True):
        if key in group.config:
            value: Any = group.config[key]
            text = value_text(value)
            parts.append(text if isinstance(value, str) else f"{title}={text}")
    return " ".join(parts) or "all"
