"""Nights that were missed, that overlap, and that have 23 or 25 hours: a clock that is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import CronSchedule

from argus_tasks.orchestration.nightly.missed_slots import Run, made_up_for
from deployments.definitions import NIGHTLY_CRON, NIGHTLY_TIMEZONE

MINUTE = timedelta(minutes=1)


def slots(cron: str, timezone: str, start: datetime, count: int) -> list[datetime]:
    """When Prefect's own schedule is due."""
    dates = CronSchedule(cron=cron, timezone=timezone).get_dates(n=count, start=start)
    return list(asyncio.run(dates))


@dataclass
class FakeServer:
    """A deployment with a limit of one, CANCEL_NEW, and a runner that is up or down."""

    takes: timedelta
    down: Sequence[tuple[datetime, datetime]] = ()
    runs: list[Run] = field(default_factory=list)
    cancelled: int = 0
    skipped: int = 0

    def up_at(self, moment: datetime) -> datetime:
        for begin, end in self.down:
            if begin <= moment < end:
                return end
        return moment

    def play(self, due: Sequence[datetime]) -> list[Run]:
        """The runs that did the work."""
        for number, moment in enumerate(due):
            # A runner that has come back starts one after the other, seconds apart.
            start = self.up_at(moment) + timedelta(seconds=number)
            self.start(Run(f"{number:03}", moment, start, scheduled=True, works=True))
        return [run for run in self.runs if run.works]

    def start(self, run: Run) -> None:
        assert run.started is not None
        at_work = [
            other
            for other in self.runs
            if other.works and other.started and other.started + self.takes > run.started
        ]
        if at_work:
            self.cancelled += 1
        elif made_up_for(run, self.runs):
            self.skipped += 1
            self.runs.append(replace(run, works=False))
        else:
            self.runs.append(run)


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("takes", [timedelta(0), MINUTE, timedelta(hours=3)])
def test_ten_days_of_downtime_are_one_run(takes: timedelta) -> None:
    due = slots(NIGHTLY_CRON, NIGHTLY_TIMEZONE, NOON, 14)
    back = NOON + timedelta(days=10)
    server = FakeServer(takes, down=[(NOON, back)])
    worked = server.play(due)
    assert [run.started for run in worked if run.started and run.started < back + MINUTE] == [back]
    assert server.cancelled + server.skipped == 9
    assert [run.started.date() for run in worked[1:] if run.started] == [
        (back + timedelta(days=days)).date() for days in (1, 2, 3, 4)
    ]


def test_without_downtime_every_night_runs() -> None:
    due = slots(NIGHTLY_CRON, NIGHTLY_TIMEZONE, NOON, 30)
    server = FakeServer(timedelta(hours=3))
    assert len(server.play(due)) == 30
    assert server.cancelled + server.skipped == 0


def test_what_overlaps_does_not_pile_up() -> None:
    due = slots(NIGHTLY_CRON, NIGHTLY_TIMEZONE, NOON, 30)
    server = FakeServer(timedelta(hours=60))  # each takes two nights and a half
    worked = server.play(due)
    assert len(worked) == 10
    assert server.cancelled == 20


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])
@pytest.mark.parametrize("cron", [NIGHTLY_CRON, "30 2 * * *", "30 1 * * *", "15 3 * * *"])
def test_one_run_a_day_also_when_the_clocks_change(zone: str, cron: str) -> None:
    for month in (3, 10):  # and the next: all changes of 2027 are in these
        due = slots(cron, zone, datetime(2027, month, 1, 18, tzinfo=ZoneInfo(zone)), 45)
        worked = FakeServer(MINUTE).play(due)
        days = [run.due.astimezone(ZoneInfo(zone)).date() for run in worked]
        assert days == [date(2027, month, 2) + timedelta(days=number) for number in range(45)]


def run(
    name: str, due: int, started: int | None, *, scheduled: bool = True, works: bool = True
) -> Run:
    return Run(
        name,
        NOON + due * MINUTE,
        None if started is None else NOON + started * MINUTE,
        scheduled,
        works,
    )


def test_who_makes_up_for_whom() -> None:
    own = run("own", 0, 60)
    assert made_up_for(own, [own]) is None
    assert made_up_for(own, [run("before it was due", -60, -1)]) is None
    assert made_up_for(own, [run("after", 0, 61)]) is None
    assert made_up_for(own, [run("waits", 0, None)]) is None
    assert made_up_for(own, [run("skipped itself", 0, 30, works=False)]) is None
    first = run("first", 30, 59)
    assert made_up_for(own, [first]) is first
    by_hand = run("by hand", 30, 30, scheduled=False)
    assert made_up_for(own, [by_hand]) is by_hand
    assert made_up_for(replace(own, scheduled=False), [first]) is None
    # Started at the same moment: one of them does it, and both know which.
    twin = run("a twin", 0, 60)
    assert made_up_for(own, [twin]) is twin
    assert made_up_for(twin, [own]) is None
