from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from argus_tasks.orchestration.mirror.backpressure import WINDOW_EVENTS, Backpressure
from argus_tasks.orchestration.prefect_api.prefect_server import ServerAway


class Server:
    """Counts as a server would, and who asked when."""

    def __init__(self, recorded: Callable[[], int], sharing: int = 1) -> None:
        self.asked = 0
        self._recorded = recorded
        self.sweeps = sharing

    def recorded(self) -> int:
        self.asked += 1
        return self._recorded()

    def sharing(self) -> int:
        return self.sweeps


def away() -> int:
    raise ServerAway("gone")


def backpressure(
    server: Server,
    *,
    events_a_run: float = 1.0,
    window: float = 100,
    patience_s: float = 30,
    stopping: Callable[[], bool] = lambda: False,
) -> Backpressure:
    return Backpressure(
        server.recorded,
        server.sharing,
        lambda _: events_a_run,
        stopping,
        patience_s=patience_s,
        window_events=window,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def test_nobody_is_asked_by_a_sweep_that_is_not_far_ahead() -> None:
    server = Server(lambda: 0)
    held = backpressure(server, window=WINDOW_EVENTS)
    for submitted in range(900):
        held.admit(submitted)
    assert server.asked == 0
    assert held.held_s == 0


def test_it_is_held_back_until_the_server_has_caught_up() -> None:
    done = [0]
    server = Server(lambda: done[0])
    held = backpressure(server, window=100)
    held.admit(99)
    threading.Timer(1.0, lambda: done.__setitem__(0, 50)).start()
    begun = time.monotonic()
    held.admit(100)
    assert 0.8 < time.monotonic() - begun < 30
    assert held.held_s > 0.8
    asked = server.asked
    assert asked <= 6, "asked rarely, also while it waits"
    held.close()


def test_events_count_not_runs() -> None:
    """Without a relay a run is four events: a quarter as many may be ahead."""
    server = Server(lambda: 0)
    held = backpressure(server, events_a_run=4.0, window=100, patience_s=0.6)
    held.admit(24)
    assert held.held_s == 0
    held.admit(25)
    assert held.held_s > 0.3
    held.close()


def test_the_broker_is_shared_with_the_other_sweeps() -> None:
    server = Server(lambda: 0)
    held = backpressure(server, window=4000, patience_s=60)
    held.admit(1100)  # alone this is within the window; it starts to ask
    server.sweeps = 4
    asked = server.asked
    deadline = time.monotonic() + 30
    while server.asked < asked + 3:  # by then the second answer is known
        assert time.monotonic() < deadline
        time.sleep(0.01)
    waiting = threading.Thread(target=held.admit, args=(1101,))
    waiting.start()
    waiting.join(1)
    assert waiting.is_alive(), "four sweeps have a quarter of the window each"
    held.close()
    waiting.join(30)
    assert not waiting.is_alive()


@pytest.mark.parametrize("recorded", [lambda: 0, away], ids=["stuck", "away"])
def test_a_server_that_does_not_move_holds_it_up_once(
    recorded: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(recorded)
    held = backpressure(server, window=100, patience_s=1)
    begun = time.monotonic()
    for submitted in range(0, 2000, 10):
        held.admit(submitted)
    assert 0.8 < time.monotonic() - begun < 60
    said = [record for record in caplog.records if "goes on without waiting" in record.message]
    assert len(said) == 1
    held.close()


def test_after_a_standstill_it_keeps_step_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argus_tasks.orchestration.mirror.backpressure.ASK_WHEN_GIVEN_UP_S", 0.2)
    done = [0]
    held = backpressure(Server(lambda: done[0]), window=100, patience_s=1)
    held.admit(300)
    assert held.held_s > 0.5
    done[0] = 300
    time.sleep(1)
    before = held.held_s
    waiting = threading.Thread(target=held.admit, args=(900,))
    waiting.start()
    time.sleep(0.5)
    assert waiting.is_alive(), "it must be held back again: the server moves"
    done[0] = 900
    waiting.join(30)
    assert not waiting.is_alive()
    assert held.held_s > before
    held.close()


def test_what_was_passed_over_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has dropped 200 never reaches the count: it holds the sweep up once."""
    monkeypatch.setattr("argus_tasks.orchestration.mirror.backpressure.ASK_WHEN_GIVEN_UP_S", 0.1)
    monkeypatch.setattr("argus_tasks.orchestration.mirror.backpressure.ASK_EVERY_S", 0.1)
    done = [0]
    server = Server(lambda: done[0])
    held = backpressure(server, window=100, patience_s=1)
    held.admit(200)
    assert held.held_s > 0.5
    before = held.held_s
    for submitted in (240, 280, 320):  # it records what is new, and never those
        done[0] = submitted - 210
        asked = server.asked
        wait_until(lambda seen=asked: server.asked >= seen + 2)  # type: ignore[misc]
        held.admit(submitted)
    assert held.held_s - before < 0.9, "each would have been held for its patience"
    held.close()


def test_what_was_passed_over_and_comes_after_all_leaves_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("argus_tasks.orchestration.mirror.backpressure.ASK_WHEN_GIVEN_UP_S", 0.1)
    monkeypatch.setattr("argus_tasks.orchestration.mirror.backpressure.ASK_EVERY_S", 0.1)
    done = [0]
    server = Server(lambda: done[0])
    held = backpressure(server, window=100, patience_s=1)
    held.admit(300)
    done[0] = 300  # it had only stood still
    asked = server.asked
    wait_until(lambda: server.asked >= asked + 2)
    waiting = threading.Thread(target=held.admit, args=(450,))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive(), "150 ahead of it, and none of them passed over"
    done[0] = 450
    waiting.join(30)
    assert not waiting.is_alive()
    held.close()


def test_a_sweep_that_is_stopped_is_not_held_back() -> None:
    stopping = threading.Event()
    held = backpressure(Server(lambda: 0), window=100, stopping=stopping.is_set)
    threading.Timer(0.3, stopping.set).start()
    begun = time.monotonic()
    held.admit(500)
    assert time.monotonic() - begun < 30
    held.close()
