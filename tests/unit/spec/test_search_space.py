"""The space of a search: Optuna's side of it, and the configs'."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from argus_tasks.base.errors import BadInput, MissingExtra
from argus_tasks.base.ids import canonical_json
from argus_tasks.spec.search_section import Search, check_search
from argus_tasks.spec.search_space import SearchSpace
from argus_tasks.spec.sweep_spec import SweepSpec


def search(space: dict[str, Any], **more: Any) -> Search:
    given = {"metric": "loss", "direction": "min", "n_trials": 5, "space": space, **more}
    found = SweepSpec.from_mapping({"search": given}).search
    assert found is not None
    return found


def drawn(space: SearchSpace, count: int = 40) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.config(space.suggest(study.ask())) for _ in range(count)]


def test_every_distribution_is_drawn_over_the_base() -> None:
    space = SearchSpace(
        {"epochs": 3, "optim": {"name": "adam"}},
        search(
            {
                "optim.lr": {"log_uniform": [1e-5, 1e-1]},
                "dropout": {"uniform": [0, 0.5]},
                "layers": {"int": [1, 3]},
                "norm": {"choice": ["batch", "layer"]},
            }
        ),
    )
    configs = drawn(space)
    assert all(config["epochs"] == 3 and config["optim"]["name"] == "adam" for config in configs)
    assert all(1e-5 <= config["optim"]["lr"] <= 1e-1 for config in configs)
    assert sum(config["optim"]["lr"] < 1e-3 for config in configs) > 10  # as a logarithm
    assert all(0 <= config["dropout"] <= 0.5 for config in configs)
    assert {config["layers"] for config in configs} == {1, 2, 3}
    assert {config["norm"] for config in configs} == {"batch", "layer"}


@pytest.mark.parametrize(
    "values", [[1, True, 1.5, None], [[1, 2], [3]], [{"a": 1}, {"a": 2}, "b"], ["x", 2]]
)
def test_choices_of_any_kind_come_back_as_they_were(values: list[Any]) -> None:
    space = SearchSpace({}, search({"key": {"choice": values}}))
    found = {canonical_json(config["key"]) for config in drawn(space)}
    assert found == {canonical_json(value) for value in values}


def test_equal_choices_are_one() -> None:
    asked = search({"key": {"choice": [1, 1.0, 2]}}, sampler="grid", n_trials=None)
    assert asked.trials == 2
    assert SearchSpace({}, asked).grid() == {"key": [1, 2]}


@pytest.mark.parametrize(
    ("space", "more", "said"),
    [
        ({"a": {"uniform": [0, 1]}}, {"sampler": "grid"}, "search.space.a is a range"),
        ({"a": {"int": [1, 3]}}, {"sampler": "grid", "n_trials": 4}, "the grid has 3"),
        ({"a": {"int": [1, 3]}}, {"n_trials": None}, "search.n_trials is missing"),
        ({"a": {"int": [1, 3]}}, {"sampler": "cmaes"}, "has 1 numeric keys"),
    ],
)
def test_what_cannot_be_searched_is_said(
    space: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        check_search(search(space, **more))


def test_a_key_through_a_value_is_said() -> None:
    with pytest.raises(BadInput, match="'optim' is \"adam\""):
        SearchSpace({"optim": "adam"}, search({"optim.lr": {"uniform": [0, 1]}}))


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argus_tasks.base.extras.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"argus-tasks\[optuna\]"):
        check_search(search({"a": {"int": [1, 3]}}))
