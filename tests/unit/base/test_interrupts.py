"""Signals are told at once, and raised only where nothing of ours is half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from argus_tasks.base import interrupts
from argus_tasks.base.interrupts import deferring, listening, raising
from tests.support.processes import heed_signals

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def told() -> Iterator[list[int]]:
    numbers: list[int] = []
    with listening(numbers.append):
        yield numbers


@pytest.mark.parametrize("sign", ALL)
def test_told_at_once_raised_only_where_it_may(sign: signal.Signals) -> None:
    with told() as numbers:
        signal.raise_signal(sign)
        assert numbers == [sign], "told, and not raised"
        with pytest.raises(KeyboardInterrupt), raising():
            pytest.fail("what came before is raised before anything begins")
        with raising():
            pass  # once
        with pytest.raises(KeyboardInterrupt), raising():
            signal.raise_signal(sign)
        signal.raise_signal(sign)
        assert numbers == [sign] * 3


def test_held_back_it_is_raised_afterwards() -> None:
    steps = []

    def bookkeeping() -> None:
        with raising():
            with deferring():
                signal.raise_signal(signal.SIGINT)
                steps.append("whole")
            steps.append("not reached")

    with told() as numbers, pytest.raises(KeyboardInterrupt):
        bookkeeping()
    assert steps == ["whole"]
    assert numbers == [signal.SIGINT]


def test_held_from_now_on_nothing_more_is_raised() -> None:
    with told() as numbers, raising():
        interrupts.stop_raising()
        signal.raise_signal(signal.SIGTERM)
        with deferring():
            signal.raise_signal(signal.SIGTERM)
        assert numbers == [signal.SIGTERM] * 2


def test_every_interrupt_of_a_stubborn_experiment_is_raised() -> None:
    with told(), raising():
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_afterwards_all_is_as_before() -> None:
    before = [signal.getsignal(sign) for sign in ALL]
    with told():
        assert [signal.getsignal(sign) for sign in ALL] != before
    assert [signal.getsignal(sign) for sign in ALL] == before


def test_what_somebody_else_handles_or_ignores_is_left_alone() -> None:
    mine = signal.signal(signal.SIGTERM, lambda *_: None)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with told() as numbers:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            assert numbers == []
    finally:
        signal.signal(signal.SIGTERM, mine)
        signal.signal(signal.SIGHUP, ignored)


def test_prefects_handler_of_sigterm_is_taken_and_given_back() -> None:
    from prefect.exceptions import TerminationSignal
    from prefect.utilities.engine import capture_sigterm

    with told() as numbers, capture_sigterm():
        with pytest.raises(TerminationSignal):
            signal.raise_signal(signal.SIGTERM)
        with listening(numbers.append):  # as the sweep's flow does it, within Prefect's engine
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert numbers == [signal.SIGTERM] * 2


def test_a_sweep_within_an_experiment_is_told_and_so_is_the_one_around_it() -> None:
    outer: list[int] = []
    inner: list[int] = []

    def experiment() -> None:
        with raising():
            with listening(inner.append):
                signal.raise_signal(signal.SIGINT)  # in the inner one's bookkeeping
                assert (outer, inner) == ([2], [2])
            with deferring():  # whatever it does next
                pass

    with listening(outer.append):
        with pytest.raises(KeyboardInterrupt):
            experiment()
        signal.raise_signal(signal.SIGINT)
    assert (outer, inner) == ([2, 2], [2])


def test_a_term_ends_what_an_experiment_forks_and_is_not_told() -> None:
    ready, tell = os.pipe()
    with told() as numbers:
        pid = os.fork()
        if pid == 0:
            os.write(tell, b"x")
            time.sleep(60)
            os._exit(0)
        os.read(ready, 1)
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
    assert numbers == []


EARLY = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from argus_tasks.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "importing",
    ["argus_tasks.cli.main", "argparse", "argus_tasks.cli.init", "argus_tasks.cli.doctor"],
)
def test_a_ctrl_c_while_the_command_line_loads_is_no_traceback(importing: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLY, importing],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=heed_signals,
    )
    assert (done.returncode, done.stderr) == (130, "")
