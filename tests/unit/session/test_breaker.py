"""The breaker: whom it blames, and whom it leaves alone."""

from __future__ import annotations

from itertools import product
from typing import Any

from argus_tasks.planning.sweep_plan import Action
from argus_tasks.runs.record.layout import FAILED
from argus_tasks.runs.record.run_record import Ending
from argus_tasks.session.breaker import Breaker, signature_of
from argus_tasks.workers.isolation.worker_death import LOG_TAIL
from tests.support.news import STACK, failed, planned, skipped, stopped, succeeded

GRID = [
    {"model": model, "lr": lr, "seed": seed, "same": 1}
    for model, lr, seed in product("ABC", [0.1, 0.01], [0, 1, 2])
]
RUNS = planned(GRID)


def where(**values: Any) -> list[int]:
    return [
        index
        for index, config in enumerate(GRID)
        if all(config[key] == value for key, value in values.items())
    ]


def held(breaker: Breaker) -> list[int]:
    return [index for index in range(len(GRID)) if breaker.holds(index)]


def tell(breaker: Breaker, *, ok: list[int] = (), bad: list[int] = (), **how: Any) -> None:  # type: ignore[assignment]
    for index in ok:
        breaker.ended(*succeeded(RUNS[index]))
    for index in bad:
        breaker.ended(*failed(RUNS[index], **how))


def test_a_value_that_fails_where_others_do_not_is_held() -> None:
    breaker = Breaker(3, RUNS)
    tell(breaker, bad=where(model="A", seed=0))
    tell(breaker, ok=where(model="B")[:4])
    assert held(breaker) == [], "two are not three"
    tell(breaker, bad=where(model="A", lr=0.01, seed=1))
    assert held(breaker) == where(model="A")
    (blame,) = breaker.blames(where(model="A", seed=2))
    assert blame.values == ("model=A",)
    assert (blame.failed, blame.held, blame.cause) == (3, 2, "ValueError")
    assert blame.sentence() == "2 held, model=A: 3 such failed alike with ValueError: no"


def test_off_it_holds_nothing() -> None:
    breaker = Breaker(None, RUNS)
    tell(breaker, ok=where(model="B"), bad=where(model="A"))
    assert held(breaker) == []
    assert breaker.blames(range(len(GRID))) == []


def test_nothing_is_held_without_others_that_succeed() -> None:
    breaker = Breaker(3, RUNS)
    tell(breaker, bad=where(model="A"))
    assert held(breaker) == [], "all that has run has failed: nobody knows why"
    tell(breaker, ok=where(model="B")[:1])
    assert held(breaker) == where(model="A"), "the evidence may come later"


def test_nothing_is_held_where_others_fail_as_often() -> None:
    breaker = Breaker(3, RUNS)
    tell(breaker, bad=[*where(model="A")[:3], *where(model="B")[:3]], ok=where(model="C")[:3])
    assert held(breaker) == []
    tell(breaker, ok=where(model="C")[3:4])
    assert held(breaker) == [*where(model="A"), *where(model="B")]


def test_one_success_with_the_value_clears_it() -> None:
    breaker = Breaker(3, RUNS)
    tell(breaker, ok=where(model="B"), bad=where(model="A")[:3])
    assert held(breaker)
    tell(breaker, ok=where(model="A")[3:4])
    assert held(breaker) == []


def test_different_stacks_are_different_troubles() -> None:
    breaker = Breaker(3, RUNS)
    tell(breaker, ok=where(model="B"))
    for line, index in enumerate(where(model="A")[:5]):
        tell(breaker, bad=[index], line=line)
    assert held(breaker) == []


def test_the_message_is_not_part_of_the_trouble() -> None:
    breaker = Breaker(3, RUNS)
    tell(breaker, ok=where(model="B"))
    for index in where(model="A")[:3]:
        tell(breaker, bad=[index], message=f"config {index} is odd\nin two lines")
    assert held(breaker) == where(model="A")
    (blame,) = breaker.blames(where(model="A"))
    assert blame.message == "config 2 is odd"


def test_values_that_have_only_come_together_are_blamed_together() -> None:
    """Nobody can say whether it was model A or the rate of 0.1: only both are held."""
    breaker = Breaker(3, RUNS)
    tell(breaker, bad=where(model="A", lr=0.1), ok=where(model="B", lr=0.01))
    assert held(breaker) == where(model="A", lr=0.1)
    tell(breaker, ok=where(model="B", lr=0.1)[:1])
    assert held(breaker) == where(model="A")


def test_a_part_of_a_values_cases_is_not_blamed_beside_it() -> None:
    breaker = Breaker(3, RUNS)
    tell(breaker, ok=where(model="B", lr=0.01))
    tell(breaker, bad=[*where(model="A", lr=0.1), *where(model="A", lr=0.01, seed=0)])
    assert held(breaker) == where(model="A")


def test_stopped_and_skipped_ones_say_nothing() -> None:
    breaker = Breaker(3, RUNS)
    tell(breaker, ok=where(model="B"))
    for index in where(model="A"):
        breaker.ended(*stopped(RUNS[index]))
        breaker.ended(*skipped(RUNS[index]))
    assert held(breaker) == []


def test_what_has_succeeded_in_an_earlier_session_counts() -> None:
    others = dict.fromkeys(where(model="B"), Action.REUSE)
    breaker = Breaker(3, planned(GRID, others))
    tell(breaker, bad=where(model="A")[:3])
    assert held(breaker) == where(model="A")
    innocent = dict.fromkeys([*where(model="B"), *where(model="A")[5:]], Action.REUSE)
    breaker = Breaker(3, planned(GRID, innocent))
    tell(breaker, bad=where(model="A")[:3])
    assert held(breaker) == []


def test_signatures() -> None:
    here = STACK.format(line=7, message="x")
    there = here.replace("/here/", "/tmp/elsewhere/").replace("ValueError: x", "ValueError: y")
    error = Ending(FAILED, "ValueError")
    assert signature_of(error, here) == signature_of(error, there)
    assert signature_of(error, here) != signature_of(Ending(FAILED, "KeyError"), here)
    crash = 'Fatal\n  File "/a/b.py", line 3 in run\n'
    segfault = Ending(FAILED, "signal SIGSEGV")
    assert signature_of(segfault, crash) == "signal SIGSEGV\nb.py:3:run"
    logged = f'{crash}\n\n{LOG_TAIL}\n  File "/other.py", line 9, in f\n'
    assert signature_of(segfault, logged) == signature_of(segfault, crash)
    timeout = Ending(FAILED, "timeout")
    assert signature_of(timeout, crash) == signature_of(timeout, here) == "timeout"


def test_many_failures_that_nobody_is_to_blame_for_cost_little() -> None:
    import time

    configs = [{"a": n % 7, "b": n % 11, "lr": n / 3} for n in range(3000)]
    runs = planned(configs)
    breaker = Breaker(3, runs)
    began = time.process_time()
    for run in runs:
        breaker.ended(*failed(run))
    assert (time.process_time() - began) / len(runs) < 500e-6
    assert not any(breaker.holds(run.index) for run in runs)
