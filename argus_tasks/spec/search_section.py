"""The `search` section of a sweep file, and the check that its keys fit together."""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from argus_tasks.base.errors import BadInput
from argus_tasks.base.extras import need
from argus_tasks.base.ids import canonical_json
from argus_tasks.spec.config_sections import Distribution, Space
from argus_tasks.spec.value_types import Count, Expected, Integer, Section, Text

Sampler: TypeAlias = Literal["tpe", "random", "grid", "cmaes"]
Pruner: TypeAlias = Literal["none", "median", "asha"]
StudyStorage: TypeAlias = Annotated[
    str, Field(min_length=1), Expected('a path, or a URL such as "sqlite:///study.db"')
]
_FEWEST_FOR_CMAES = 2


class Search(Section):
    """A search: configs are drawn while the sweep runs, as trials of an Optuna study."""

    sampler: Sampler = Field(
        "tpe",
        description="How Optuna draws values: `tpe` near the values that were good so far, `random`"
        " at random, `grid` every combination once, `cmaes` by the CMA-ES algorithm, for"
        " numbers that depend on each other. By default, `tpe`.",
    )
    n_trials: Count | None = Field(
        None,
        description="The number of trials, those of earlier starts of the same sweep included. By"
        " default, a `grid` runs every combination; the other samplers require a number.",
    )
    metric: Text = Field(
        description="The metric to optimize: a number that the experiment returns. A dotted name"
        " selects a nested one."
    )
    direction: Annotated[Literal["min", "max"], Expected("min or max")] = Field(
        description="Whether a smaller (`min`) or a larger (`max`) value of the metric is better."
    )
    pruner: Pruner = Field(
        "none",
        description="Which trials are ended early: `none`; `median` those that are worse at a step"
        " than the median of the earlier trials; `asha` those that are not among the"
        " best quarter at a rung. By default, `none`.",
    )
    seed: Integer = Field(
        0, description="The seed of the sampler; another seed gives other draws. By default, 0."
    )
    space: Space = Field(description="The keys whose values are drawn, each with its distribution.")
    storage: StudyStorage | None = Field(
        None,
        description="Where Optuna keeps the study: the path of a journal file, or the URL of a"
        " database such as `sqlite:///study.db`. By default, a journal file in the"
        " sweep's own folder.",
    )

    @property
    def trials(self) -> int:
        """The number of trials that the search will have."""
        return self.n_trials or self.points

    @property
    def points(self) -> int:
        """The number of combinations in the space, if all its keys have finitely many values."""
        return math.prod(_choices(distribution) or 0 for distribution in self.space.values())


def check_search(search: Search) -> None:
    """Check that a search can be run with what is installed.

    Raises:
        BadInput: for keys that do not fit together, or a missing package.
    """
    if search.sampler == "grid":
        for key, distribution in search.space.items():
            if _choices(distribution) is None:
                raise BadInput(
                    f"search.space.{key} is a range of numbers, and search.sampler is 'grid';"
                    " expected choice or int."
                )
        if search.trials > search.points:
            raise BadInput(
                f"search.n_trials is {search.n_trials}, and the grid has {search.points}"
                " combinations; expected no more than these."
            )
    elif search.n_trials is None:
        raise BadInput("search.n_trials is missing; expected an integer of 1 or more.")
    if search.sampler == "cmaes":
        numeric = sum(each.choice is None for each in search.space.values())
        if numeric < _FEWEST_FOR_CMAES:
            raise BadInput(
                f"search.sampler is 'cmaes', and search.space has {numeric} numeric keys; expected"
                f" {_FEWEST_FOR_CMAES} or more, or another sampler."
            )
    need("optuna", "optuna")
    if search.sampler == "cmaes":
        need("optuna", "cmaes")


def _choices(distribution: Distribution) -> int | None:
    """The number of values of a distribution; None for a range of real numbers."""
    if distribution.choice is not None:
        return len({canonical_json(value) for value in distribution.choice})
    if distribution.integers is not None:
        low, high = distribution.integers
        return high - low + 1
    return None
