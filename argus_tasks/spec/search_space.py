"""The space of a search: draws values with Optuna, and makes configs of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.ids import canonical_json
from argus_tasks.base.nested import Blocked, copy_tree, lay
from argus_tasks.spec.config_sections import Distribution
from argus_tasks.spec.problems import shown

if TYPE_CHECKING:
    from optuna.trial import Trial

    from argus_tasks.spec.search_section import Search


class SearchSpace:
    """The space of one search, on top of its base config.

    Optuna's choices are texts and numbers. If a `choice` has other values, or two that Optuna takes
    for one (1 and true), the study stores the JSON of each value instead.
    """

    def __init__(self, base: Mapping[str, Any], search: Search) -> None:
        self._base = dict(base)
        self._space = search.space
        self._choices = {
            key: _stand_ins(each.choice) for key, each in search.space.items() if each.choice
        }
        self._check()

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Have the trial's sampler draw a value for every key that has none yet.

        Returns:
            The values, as the study stores them.
        """
        return {key: self._suggest(trial, key, each) for key, each in self._space.items()}

    def grid(self) -> dict[str, list[Any]]:
        """Every value of every key, as the study stores them."""
        return {
            key: list(self._choices[key]) if key in self._choices else list(_range(each))
            for key, each in self._space.items()
        }

    def has(self, params: Mapping[str, Any]) -> bool:
        """Whether there is a value for every key."""
        return all(key in params for key in self._space)

    def config(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The config with these values, given as the study stores them."""
        values = {key: params[key] for key in self._space}
        for key, choices in self._choices.items():
            values[key] = choices[values[key]]
        return self._over_base(values)

    def examples(self) -> list[dict[str, Any]]:
        """Two configs that differ in every key of the space, to check templates and filters
        against."""
        return [self._over_base(dict.fromkeys(self._space, value)) for value in ("a", "b")]

    def _over_base(self, values: Mapping[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = copy_tree(self._base)
        for key, value in values.items():
            lay(config, key.split("."), value)
        return config

    def _check(self) -> None:
        for key in self._space:
            if not all(key.split(".")):
                raise BadInput(f"search.space.{key} has an empty part between its dots.")
        try:
            self.examples()
        except Blocked as blocked:
            raise BadInput(
                f"search.space cannot be set: '{blocked.key}' is {shown(blocked.value)}, not a"
                " mapping."
            ) from None

    def _suggest(self, trial: Trial, key: str, distribution: Distribution) -> Any:
        if distribution.integers is not None:
            return trial.suggest_int(key, *distribution.integers)
        if key in self._choices:
            return trial.suggest_categorical(key, list(self._choices[key]))
        pair = distribution.uniform or distribution.log_uniform
        assert pair is not None, "a distribution is one of four"
        return trial.suggest_float(key, *pair, log=distribution.log_uniform is not None)


def _range(distribution: Distribution) -> range:
    assert distribution.integers is not None, "a grid has no ranges of numbers"
    low, high = distribution.integers
    return range(low, high + 1)


def _stand_ins(values: list[Any]) -> dict[Any, Any]:
    """Each distinct value, by what the study stores for it."""
    unique: dict[Any, Any] = {}
    for value in values:
        unique.setdefault(canonical_json(value), value)
    if all(isinstance(value, str | int | float | None) for value in unique.values()):
        plain = {value: value for value in unique.values()}
        if len(plain) == len(unique):
            return plain
    return unique
