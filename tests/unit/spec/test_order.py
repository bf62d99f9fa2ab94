"""The order of starts: what covers each value, what is expected to take long, what is drawn."""

from __future__ import annotations

import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.main import main
from argus_tasks.planning.sweep_plan import Plan
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.spec.options import override
from argus_tasks.spec.order import MANY_NUMBERS, ExpectedDurations, covering, shuffled
from argus_tasks.spec.sweep_spec import SweepSpec
from argus_tasks.spec.varying_keys import Pairs, shown_pair, varying
from tests.support import experiments
from tests.support.sessions import request_for, run_configs

GRID = [
    {"model": model, "lr": lr, "seed": seed, "epochs": 3}
    for model, lr, seed in product(["a", "b", "c", "d"], [0.1, 0.01, 0.001], [0, 1])
]


def pairs_of(configs: list[dict[str, Any]]) -> list[Any]:
    made = Pairs()
    return varying([made.of(config) for config in configs])


def test_what_is_the_same_in_all_does_not_vary() -> None:
    configs = [{"a": 1, "b": {"c": 1}, "d": True}, {"a": 1, "b": {"c": 2}, "d": 1}, {"a": 1.0}]
    assert pairs_of(configs) == [
        (("b.c", "1"), ("d", "true")),
        (("b.c", "2"), ("d", "1")),
        (),
    ]
    assert [shown_pair(pair) for pair in (("m", '"x"'), ("n.o", "[1,2]"), ("p", "null"))] == [
        "m=x",
        "n.o=[1,2]",
        "p=null",
    ]


def test_a_grid_is_covered_by_as_many_as_its_longest_list() -> None:
    pairs = pairs_of(GRID)
    chosen = covering(dict(enumerate(pairs)), pairs)
    assert len(chosen) == 4
    assert chosen[0] == 0
    assert {pair for index in chosen for pair in pairs[index]} == {
        p for each in pairs for p in each
    }


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={key: st.integers(0, 4) for key in "abc"}),
        min_size=1,
        max_size=30,
    )
)
def test_every_value_is_covered(configs: list[dict[str, Any]]) -> None:
    pairs = pairs_of(configs)
    chosen = covering(dict(enumerate(pairs)), pairs)
    assert len(set(chosen)) == len(chosen)
    wanted = {pair for each in pairs for pair in each}
    covered: set[Any] = set()
    for index in chosen:
        assert set(pairs[index]) - covered, "each brings something new"
        covered |= set(pairs[index])
    assert covered == wanted


def test_of_a_number_with_many_values_two_stand_for_all() -> None:
    configs = [{"lr": n / 1000, "name": f"n{n % 3}"} for n in range(MANY_NUMBERS + 5)]
    pairs = pairs_of(configs)
    chosen = covering(dict(enumerate(pairs)), pairs)
    assert {configs[index]["lr"] for index in chosen} >= {0.0, (MANY_NUMBERS + 4) / 1000}
    assert len(chosen) <= 3
    few = pairs_of(configs[:MANY_NUMBERS])
    assert len(covering(dict(enumerate(few)), few)) == MANY_NUMBERS
    named = pairs_of([{"name": f"n{n}"} for n in range(50)])
    assert len(covering(dict(enumerate(named)), named)) == 50


def test_expected_durations_multiply() -> None:
    made = Pairs()
    base = {"small": 1.0, "large": 10.0}
    size = {10: 1.0, 100: 4.0}
    history = [
        (made.of({"model": model, "n": n}), base[model] * size[n])
        for model, n in product(base, size)
    ]
    expected = ExpectedDurations(history)
    assert expected.count == 4
    assert expected.seconds(made.of({"model": "large", "n": 100})) == pytest.approx(40)
    assert expected.seconds(made.of({"model": "small", "n": 10})) == pytest.approx(1)
    unknown = expected.seconds(made.of({"model": "new", "n": 100}))
    assert unknown == pytest.approx((4 * 40) ** 0.5), "as the models we know, on average"
    assert ExpectedDurations([]).seconds(made.of({"model": "large"})) == 1.0


def test_a_shuffle_is_drawn_by_the_batch_and_stays_when_something_is_added() -> None:
    keys = {index: f"digest-{index}" for index in range(50)}
    drawn = shuffled(keys, "sweep-1")
    assert sorted(drawn) == list(range(50))
    assert drawn != list(range(50))
    assert drawn == shuffled(dict(reversed(keys.items())), "sweep-1")
    assert drawn != shuffled(keys, "sweep-2")
    added = shuffled({**keys, 50: "digest-50"}, "sweep-1")
    assert [index for index in added if index != 50] == drawn


def test_no_such_order() -> None:
    with pytest.raises(BadInput) as caught:
        override(SweepSpec(), {"order": "smoke-first"})
    assert str(caught.value) == (
        'order is "smoke-first"; expected one of given, smoke_first, shuffle.'
        " Did you mean 'smoke_first'?"
    )


def plan_of(configs: list[dict[str, Any]], root: Path, order: Any, **options: Any) -> Plan:
    return make_plan(request_for(configs, experiments.sleeps, root, order=order, **options))


def test_the_order_changes_no_identity(results_root: Path) -> None:
    given_ = plan_of(GRID, results_root, "given", batch_id="b")
    for order in ("smoke_first", "shuffle"):
        plan = plan_of(GRID, results_root, order, batch_id="b")
        assert plan.runs == given_.runs
        assert [run.index for run in plan.to_do] != [run.index for run in given_.to_do]
        assert sorted(run.index for run in plan.to_do) == list(range(len(GRID)))


def test_longest_first_as_expected_from_earlier_runs(results_root: Path) -> None:
    slow = {"a": 0.0, "b": 0.25, "c": 0.12, "d": 0.01}
    configs = [{"model": model, "seconds": slow[model], "seed": 0} for model in slow]
    run_configs(configs, experiments.sleeps, results_root)
    more = [config | {"seed": seed} for config in configs for seed in (0, 1, 2)]
    plan = plan_of(more, results_root, "smoke_first")
    starts = [(run.config["model"], run.config["seed"]) for run in plan.to_do]
    # Each model has been tried: the new seeds are what is left to cover.
    assert sorted(seed for _, seed in starts[:2]) == [1, 2]
    rest = [model for model, _ in starts[2:]]
    assert rest == sorted(rest, key=lambda model: -slow[model])
    assert "first 2" in plan.order.note
    assert "as expected from 4 earlier runs" in plan.order.note


def test_a_fresh_batch_learns_from_the_earlier_ones_and_other_experiments_count_nothing(
    results_root: Path,
) -> None:
    configs = [{"seconds": seconds, "x": 0} for seconds in (0.0, 0.2)]
    run_configs(configs, experiments.sleeps, results_root)
    twice = [config | {"x": x} for x in (0, 1) for config in configs]
    fresh = plan_of(twice, results_root, "smoke_first", fresh=True)
    assert [run.config["seconds"] for run in fresh.to_do][2:] == [0.2, 0.0]
    request = request_for(twice, experiments.noop, results_root, order="smoke_first")
    assert "no earlier run shows" in make_plan(request).order.note


def test_ten_thousand_configs_are_ordered_in_no_time(results_root: Path) -> None:
    configs = [
        {"m": a, "d": b, "lr": c / 7, "seed": s}
        for a, b, c, s in product(range(10), range(10), range(20), range(5))
    ]
    began = time.process_time()
    plan_of(configs, results_root, "given")
    plain = time.process_time() - began
    began = time.process_time()
    plan_of(configs, results_root, "smoke_first")
    assert time.process_time() - began < plain + 2.0


def test_the_plan_command_shows_it(results_root: Path, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "sweep.json"
    file.write_text(
        json.dumps(
            {
                "experiment": "tests.support.experiments:noop",
                "results_root": str(results_root),
                "grid": {"a": [1, 2, 3], "b": [1, 2]},
            }
        )
    )
    assert main(["plan", str(file), "--order", "smoke_first", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    starts = sorted(told["configs"], key=lambda config: config["start"])
    assert [config["index"] for config in told["configs"]] == list(range(6))
    assert {config["config"]["a"] for config in starts[:3]} == {1, 2, 3}
    assert main(["plan", str(file), "--order", "smoke_first"]) == 0
    text = capsys.readouterr().out
    assert "order      smoke_first: first 3 that contain each value, then as given" in text
    listed = [line.split()[1] for line in text.splitlines() if line.startswith("  run ")]
    assert listed == [config["name"] for config in starts]
