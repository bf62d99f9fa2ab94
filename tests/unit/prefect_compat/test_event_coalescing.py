from __future__ import annotations

from uuid import UUID, uuid4

from prefect.events import Event

from argus_tasks.prefect_compat.event_coalescing import HOLD_S, Coalescer, Item

RUN = uuid4()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def change(state_type: str, follows: UUID | None = None, run: UUID = RUN) -> Item:
    return Item(
        Event(
            event=f"prefect.task-run.{state_type.title()}",
            resource={
                "prefect.resource.id": f"prefect.task-run.{run}",
                "prefect.state-type": state_type,
                "prefect.orchestration": "client",
            },
            follows=follows,
        )
    )


def test_a_quick_run_is_one_event_that_follows_nothing() -> None:
    coalescer = Coalescer(clock=Clock())
    pending = change("PENDING")
    running = change("RUNNING", pending.event.id)
    ended = change("COMPLETED", running.event.id)
    assert coalescer.take(pending) is None
    assert coalescer.take(running) is None
    assert coalescer.take(ended) is ended
    assert ended.event.follows is None
    assert coalescer.dropped == 2
    assert len(coalescer) == 0
    assert coalescer.flush() == []


def test_a_long_run_shows_as_running_after_a_second() -> None:
    clock = Clock()
    coalescer = Coalescer(clock=clock)
    pending = change("PENDING")
    running = change("RUNNING", pending.event.id)
    coalescer.take(pending)
    clock.now += HOLD_S / 2
    coalescer.take(running)
    assert coalescer.due() == []
    clock.now += HOLD_S / 2
    assert coalescer.due() == [running]
    assert running.event.follows is None
    clock.now += 100
    ended = change("COMPLETED", running.event.id)
    assert coalescer.take(ended) is ended
    assert ended.event.follows == running.event.id, "it follows one that the server has seen"
    assert coalescer.dropped == 1


def test_a_run_that_waits_for_its_retry_is_shown_waiting() -> None:
    clock = Clock()
    coalescer = Coalescer(clock=clock)
    running = change("RUNNING")
    coalescer.take(running)
    waiting = change("SCHEDULED", running.event.id)
    coalescer.take(waiting)
    clock.now += HOLD_S
    assert coalescer.due() == [waiting]
    again = change("RUNNING", waiting.event.id)
    failed = change("FAILED", again.event.id)
    coalescer.take(again)
    assert coalescer.take(failed) is failed
    assert failed.event.follows == waiting.event.id


def test_what_followed_an_event_dropped_long_ago_is_put_right() -> None:
    """Released and gone from the hold, a run still knows which of its events nobody has seen."""
    clock = Clock()
    coalescer = Coalescer(clock=clock)
    pending = change("PENDING")
    running = change("RUNNING", pending.event.id)
    coalescer.take(pending)
    coalescer.take(running)
    clock.now += HOLD_S
    coalescer.due()
    crashed = change("CRASHED", pending.event.id)
    coalescer.take(crashed)
    assert crashed.event.follows is None


def test_runs_do_not_meet_and_flush_gives_all() -> None:
    coalescer = Coalescer(clock=Clock())
    items = [change("RUNNING", run=uuid4()) for _ in range(5)]
    for item in items:
        assert coalescer.take(item) is None
    assert coalescer.flush() == items
    assert len(coalescer) == 0


def test_every_other_event_passes_unchanged() -> None:
    coalescer = Coalescer(clock=Clock())
    follows = uuid4()
    own = Item(Event(event="my.event", resource={"prefect.resource.id": "x"}, follows=follows))
    servers = change("RUNNING")
    servers.event.resource.root["prefect.orchestration"] = "server"
    assert coalescer.take(own) is own
    assert own.event.follows == follows
    assert coalescer.take(servers) is servers
