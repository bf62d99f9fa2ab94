"""One word that can be trusted: when it says worse, when it must not, and when it cannot know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from argus_tasks.base.errors import BadInput
from argus_tasks.results.compare.comparison_text import comparison_lines, json_value, sentence
from argus_tasks.results.compare.sides import Side, side_text
from argus_tasks.results.compare.verdict import Verdict, compare
from argus_tasks.results.stats.min_effect import MinEffect, min_effect_of
from argus_tasks.results.stats.tests import holm, judge, shared_variance
from benchmarks.verdict import NOISE, SHIFT, figures, named_worse, values
from tests.unit.results.sides import cells, row, side

STEADY = (1.0, 1.0, 1.0)
NOISY = (1.00, 1.02, 0.98, 1.01, 0.99)


def times(numbers: Any, factor: float) -> tuple[float, ...]:
    return tuple(number * factor for number in numbers)


@pytest.mark.parametrize("paired", [True, False])
def test_targets(paired: bool) -> None:
    found = figures("normal", paired=paired)
    assert found.alarms <= 0.05
    assert found.alarms_at_most <= 0.06
    assert found.found_all >= 0.95
    assert found.every_cell >= 0.90
    assert found.found_one >= 0.70


@pytest.mark.parametrize("noise", ["other in each cell", "heavy tails", "skewed"])
def test_no_more_false_alarms_with_other_noise(noise: str) -> None:
    assert figures(noise, paired=True).alarms_at_most <= 0.06


def test_the_simulation_is_of_what_compare_does() -> None:
    rng = np.random.default_rng(7)
    before, after = values(rng, "normal", 60)
    after[::2, 0] *= 1 + SHIFT
    after[::3] *= 1 + NOISE
    for paired in (True, False):
        expected = named_worse(before, after, paired=paired)
        for number in range(60):
            found = [
                side(
                    [
                        row({"cell": cell, "seed": seed + (0 if paired else shift)}, {"mse": mse})
                        for cell in range(12)
                        for seed, mse in enumerate(numbers[number, cell])
                    ]
                )
                for numbers, shift in ((before, 0), (after, 50))
            ]
            compared = compare(*found)
            assert {cell.pairs for cell in compared.cells} == {5 if paired else 0}
            words = [cell.verdict is Verdict.WORSE for cell in compared.cells]
            assert words == list(expected[number])


def test_one_cell_is_student_s_test() -> None:
    after = times(NOISY, 1.03)[::-1]
    first = cells({"a": NOISY})
    for second, p in (
        (cells({"a": after}), stats.ttest_rel(np.log(after), np.log(NOISY), alternative="greater")),
        (
            side([row({"model": "a", "seed": 9 + n}, {"mse": v}) for n, v in enumerate(after)]),
            stats.ttest_ind(np.log(after), np.log(NOISY), alternative="greater"),
        ),
    ):
        [cell] = compare(first, second).cells
        assert cell.p == pytest.approx(p.pvalue, rel=1e-9)


def test_worse_and_better_are_named() -> None:
    first = cells({"a": NOISY, "b": NOISY, "c": NOISY, "d": NOISY})
    second = cells({"a": NOISY, "b": times(NOISY, 1.2), "c": times(NOISY[::-1], 0.8), "d": NOISY})
    found = compare(first, second)
    words = {cell.config["model"]: cell.verdict for cell in found.cells}
    assert words == {
        "a": Verdict.NO_EVIDENCE,
        "b": Verdict.WORSE,
        "c": Verdict.BETTER,
        "d": Verdict.NO_EVIDENCE,
    }
    assert found.verdict is Verdict.WORSE
    assert sentence(found) == (
        "worse: mse of b (+20.0%); of 4 cells 1 worse, 1 better, 2 no evidence"
    )
    turned = compare(first, second, direction="max")
    assert [cell.config["model"] for cell in turned.those(Verdict.WORSE)] == ["c"]
    assert compare(second, first, direction="max").verdict is Verdict.WORSE
    only_better = compare(first, second.only([found.cells[2].key], ()))
    assert only_better.verdict is Verdict.BETTER
    assert only_better.cells[0].reason == "not in the second"


def test_an_interval_says_what_the_word_says() -> None:
    rng = np.random.default_rng(3)
    effect = rng.normal(0, 2.5, (400, 12))
    judged = judge(effect, rng.chisquare(4, (400, 12)) / 4, np.array(4.0), np.array(0.2))
    assert ((judged.low > 0) == (judged.p_up <= 0.05)).all()
    assert ((judged.high < 0) == (judged.p_down <= 0.05)).all()
    assert (judged.p_up <= 0.05).sum() > 400
    assert ((judged.low < effect) & (effect < judged.high)).all()


def test_holm_by_hand() -> None:
    adjusted, level = holm(np.array([0.04, 0.001, 0.02, 0.5]), 0.05)
    assert adjusted == pytest.approx([0.08, 0.004, 0.06, 0.5])
    assert level == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])


def test_a_noisy_cell_is_not_judged_by_its_quiet_neighbours() -> None:
    variance = np.array([1e-6] * 11 + [1e-2])
    spread, freedom = shared_variance(variance, np.array(4.0))
    assert spread[-1] >= 1e-2
    assert (spread >= variance).all()
    assert freedom[-1] < 8
    alike, freedom = shared_variance(np.full(12, 2.0), np.array(4.0))
    assert alike == pytest.approx(2.0)
    assert freedom == pytest.approx(48)


def test_no_cell_has_more_freedom_than_all_repeats_give() -> None:
    """Variances that differ by hardly more than chance draw hard towards each other: what is then
    known of each is no more than what all cells together tell."""
    df = np.full(12, 4.0)
    beyond = []
    for wide in np.linspace(0.5, 2.0, 60):
        variance = np.exp(wide * np.linspace(-1, 1, 12))
        _, freedom = shared_variance(variance, df)
        assert (freedom <= df.sum()).all()
        beyond.append(freedom[0])
    assert min(beyond) < df.sum() == max(beyond), "some differ by chance, some by more"


def test_what_has_no_noise_needs_no_test() -> None:
    first = cells({"naive": STEADY, "mlp": NOISY})
    assert compare(first, first).verdict is Verdict.NO_EVIDENCE
    hair = compare(first, cells({"naive": times(STEADY, 1.0001), "mlp": NOISY}))
    assert [str(cell.verdict) for cell in hair.cells] == ["worse", "no evidence"]
    rounding = compare(first, cells({"naive": times(STEADY, 1 + 1e-9), "mlp": NOISY}))
    assert rounding.verdict is Verdict.NO_EVIDENCE
    two = compare(cells({"naive": (1.0, 1.0)}), cells({"naive": (2.0, 2.0)}))
    assert two.verdict is Verdict.WORSE
    # By pairs: each seed exactly a tenth more, however much the seeds differ.
    assert compare(cells({"a": (1, 5, 9)}), cells({"a": (1.1, 5.5, 9.9)})).verdict is Verdict.WORSE


def test_seeds_pair_where_they_can() -> None:
    wide = (1.0, 4.0, 9.0, 16.0, 25.0)
    up = times(wide, 1.1)
    jitter = tuple(value * (1 + 0.002 * (-1) ** n) for n, value in enumerate(up))
    assert compare(cells({"a": wide}), cells({"a": jitter})).verdict is Verdict.WORSE
    others = side([row({"model": "a", "seed": 9 + n}, {"mse": v}) for n, v in enumerate(jitter)])
    assert compare(cells({"a": wide}), others).verdict is Verdict.NO_EVIDENCE
    failed = compare(cells({"a": wide}), cells({"a": (*jitter[:4], None)}))
    assert failed.verdict is Verdict.WORSE
    assert failed.cells[0].pairs == 4
    shuffled = side(
        [row({"model": "a", "seed": n}, {"mse": v}) for n, v in enumerate(jitter)][::-1]
    )
    assert compare(cells({"a": wide}), shuffled).cells[0].pairs == 5


def test_a_side_without_noise_is_no_proof_against_one_with_some() -> None:
    """Not paired: the first side's three are alike by chance, the second's scatter around them."""
    others = side([row({"model": "a", "seed": 9 + n}, {"mse": v}) for n, v in enumerate(NOISY)])
    up = side([row({"model": "a", "seed": 9 + n}, {"mse": v + 0.004}) for n, v in enumerate(NOISY)])
    for first, second in ((cells({"a": STEADY}), up), (up, cells({"a": STEADY}))):
        found = compare(first, second)
        assert (found.verdict, found.cells[0].pairs) == (Verdict.NO_EVIDENCE, 0)
    assert compare(cells({"a": STEADY}), others).verdict is Verdict.NO_EVIDENCE


def test_a_few_seeds_in_common_make_no_pairs() -> None:
    """Three of nine: the other six of each side would not be looked at."""
    values = (*NOISY, *NOISY)[:9]
    first = side([row({"a": 1, "seed": n}, {"mse": v}) for n, v in enumerate(values)])
    second = side([row({"a": 1, "seed": n + 6}, {"mse": v}) for n, v in enumerate(values)])
    [cell] = compare(first, second).cells
    assert cell.pairs == 0
    assert (cell.before, cell.after) == (cell.before, cell.before), "all nine of each count"
    [cell] = compare(first, first.only([cell.key], ())).cells
    assert cell.pairs == 9
    most = side([row({"a": 1, "seed": n + 4}, {"mse": v}) for n, v in enumerate(values)])
    [cell] = compare(first, most).cells
    assert cell.pairs == 5, "five of nine are most of them"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (cells({"a": NOISY}), cells({"b": NOISY}), "not in the second"),
        (cells({"a": (1.0, 1.1)}), cells({"a": NOISY}), "too few repeats: 2, then 5; expected 3"),
        (cells({"a": (1.0,)}), cells({"a": (2.0,)}), "too few repeats: 1, then 1"),
        (
            cells({"a": NOISY}, host_kind="Linux, A"),
            cells({"a": NOISY}, host_kind="Linux, B"),
            "other host: Linux, A, then Linux, B",
        ),
        (
            cells({"a": NOISY}, data_version="1"),
            cells({"a": NOISY}, data_version="2"),
            "other data: 1, then 2",
        ),
        (
            cells({"a": NOISY}),
            side(
                [
                    row({"model": "a", "seed": n}, {"mse": v}, code="cafe" if n else "beef")
                    for n, v in enumerate(NOISY)
                ]
            ),
            "the second's repeats ran different code: beef, cafe",
        ),
        (
            cells({"a": NOISY}),
            cells({"a": (None, None)}, cause="out of memory"),
            r"no mse in the second: 2 of 2 failed \(out of memory\)",
        ),
        (
            side(cells({"a": NOISY}).rows, experiment="m:f"),
            side(cells({"a": NOISY}).rows, experiment="m:g"),
            "another experiment: m:f, then m:g",
        ),
    ],
)
def test_not_comparable(first: Any, second: Any, reason: str) -> None:
    found = compare(first, second)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.cells[0].verdict is Verdict.NOT_COMPARABLE
    import re

    assert re.match(reason, found.cells[0].reason)
    assert any(reason[:10] in line for line in comparison_lines(found))


def test_what_is_allowed_to_differ() -> None:
    first = cells({"a": NOISY}, host_kind="A", data_version="1", code="1")
    second = cells({"a": NOISY}, host_kind="B", data_version="2", code="2")
    assert compare(first, second).verdict is Verdict.NOT_COMPARABLE
    assert compare(first, second, allow=["host"]).verdict is Verdict.NOT_COMPARABLE
    assert compare(first, second, allow=["host", "data"]).verdict is Verdict.NO_EVIDENCE
    with pytest.raises(BadInput, match="allow has 'hosts'; expected host, data, code"):
        compare(first, second, allow=["hosts"])


def test_what_either_side_ignores_makes_no_other_cell() -> None:
    def one(device: str, ignore_keys: tuple[str, ...], **more: Any) -> Side:
        rows = [
            row({"a": 1, "seed": n, "device": device, **more}, {"mse": m})
            for n, m in enumerate(NOISY)
        ]
        return side(rows, ignore_keys=ignore_keys)

    found = compare(one("cpu", ()), one("cuda", ("device",)))
    assert [cell.verdict for cell in found.cells] == [Verdict.NO_EVIDENCE]
    assert found.cells[0].config == {"a": 1}
    assert found.ignore_keys == {"device"}
    again = found.before.only([found.cells[0].key], found.ignore_keys)
    assert len(again.rows) == len(NOISY)
    other = compare(one("cpu", ()), one("cuda", ()))
    assert {cell.verdict for cell in other.cells} == {Verdict.NOT_COMPARABLE}
    two = compare(one("cpu", ("device",), threads=1), one("cuda", ("threads",)))
    assert [cell.pairs for cell in two.cells] == [len(NOISY)]


def test_a_data_version_in_the_config_makes_no_other_cell() -> None:
    one, two = (
        side(
            [
                row({"a": 1, "seed": n, "data_version": v}, {"mse": m}, data_version=v)
                for n, m in enumerate(NOISY)
            ]
        )
        for v in ("1", "2")
    )
    [cell] = compare(one, two).cells
    assert cell.reason == "other data: 1, then 2"


def test_min_effect() -> None:
    first, second = cells({"a": NOISY}), cells({"a": times(NOISY, 1.015)})
    assert compare(first, second).verdict is Verdict.WORSE
    assert compare(first, second, min_effect=min_effect_of("2%")).verdict is Verdict.NO_EVIDENCE
    assert compare(first, second, min_effect=min_effect_of("1%")).verdict is Verdict.WORSE
    assert compare(first, second, min_effect=min_effect_of("0.1")).verdict is Verdict.NO_EVIDENCE
    assert compare(first, second, min_effect=min_effect_of(0.01)).verdict is Verdict.WORSE
    assert min_effect_of("2%") == MinEffect(0.02, relative=True)
    for bad in ("2 percent", "-1%", "nan", "inf"):
        with pytest.raises(BadInput, match="min-effect is"):
            min_effect_of(bad)


def test_numbers_around_zero_are_compared_by_difference() -> None:
    first = cells({"a": (0.01, -0.01, 0.0, 0.02, -0.02)}, "skill")
    second = cells({"a": (-0.49, -0.52, -0.5, -0.48, -0.51)}, "skill")
    found = compare(first, second)
    assert (found.direction, found.relative, found.verdict) == ("max", False, Verdict.WORSE)
    assert found.cells[0].change == pytest.approx(-0.5)
    assert "-0.5" in sentence(found)
    assert compare(first, second, min_effect=min_effect_of("2%")).verdict is Verdict.WORSE


def test_time_and_memory_are_metrics_too() -> None:
    first, second = (
        side(
            [
                row({"a": 1, "seed": n}, {"acc": 1.0}, duration_sec=x * v, peak_ram_mb=100.0)
                for n, v in enumerate(NOISY)
            ]
        )
        for x in (10.0, 12.0)
    )
    assert compare(first, second).metric == "acc"
    assert compare(first, second, "duration_sec").verdict is Verdict.WORSE
    assert compare(first, second, "peak_ram_mb").verdict is Verdict.NO_EVIDENCE
    hair = side([replace(each, duration_sec=10.2 * NOISY[i]) for i, each in enumerate(first.rows)])
    assert compare(first, hair, "duration_sec").verdict is Verdict.NO_EVIDENCE
    anything = min_effect_of("0")
    assert compare(first, hair, "duration_sec", min_effect=anything).verdict is Verdict.WORSE


def test_a_metric_that_nobody_has_or_that_tells_no_direction() -> None:
    kpi = cells({"a": NOISY}, "kpi")
    with pytest.raises(BadInput, match="no run has a metric 'kpu'; there are kpi, duration_sec"):
        compare(kpi, kpi, "kpu")
    with pytest.raises(BadInput, match="of 'kpi' is better cannot be guessed"):
        compare(kpi, kpi)
    with pytest.raises(BadInput, match="no run has a metric that is a number"):
        compare(cells({"a": (None,)}), cells({"a": (None,)}))


def test_for_other_programs() -> None:
    found = compare(cells({"a": NOISY, "b": NOISY}), cells({"a": NOISY, "b": times(NOISY, 2)}))
    told = json_value(found)
    assert told["verdict"] == "worse"
    assert told["cells"][1]["verdict"] == "worse"
    assert told["cells"][1]["before"]["n"] == 5
    assert told["cells"][1]["change"] == pytest.approx(1.0)
    tiny = compare(cells({"a": STEADY}), cells({"a": times(STEADY, 1.0002)}))
    assert "a (+0.02%)" in sentence(tiny) or "all (+0.02%)" in sentence(tiny)
    lines = comparison_lines(found)
    assert any(line.startswith("worse") and "+100.0%" in line for line in lines)


def test_a_side_says_that_its_work_tree_had_more_than_the_commit() -> None:
    commit = "0123456789ab"
    rows = [
        row({"seed": seed}, {"mse": 1}, code=f"{commit}{beside}")
        for seed, beside in enumerate(("", "+89abcdef", "+89abcdef"))
    ]
    assert side_text(side(rows)).endswith("code 0123456789ab, 0123456789ab+89abcdef")
