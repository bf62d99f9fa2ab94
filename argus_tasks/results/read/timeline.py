"""When each attempt ran, how many ran at once, and how busy the machine was."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from argus_tasks.base.files import read_json_lines
from argus_tasks.results.read.rows import Row
from argus_tasks.runs.ledger.sweep_folder import SweepFolder
from argus_tasks.runs.record.causes import PARENT_LOST
from argus_tasks.runs.record.layout import RUNNING, USAGE_JSONL

CUT_OFF = "cut off"
_MOST_BATCHES = 20
_SHORTEST_BREAK_S = 60.0
_BREAK_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt: its lane, its start and end (seconds on the timeline), and its status."""

    lane: int
    begin_s: float
    end_s: float
    status: str


@dataclass(frozen=True, slots=True)
class MachineUsage:
    """The machine's usage at one moment (seconds on the timeline), in percent."""

    at_s: float
    cpu_percent: float
    memory_percent: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Attempts on lanes; long times without runs are cut out, at `breaks`.

    A lane does not stand for a worker: each attempt is in the first lane that was free.
    """

    bars: tuple[Bar, ...]
    lanes: int
    length_s: float
    breaks: tuple[float, ...]
    began_at: datetime
    usage: tuple[MachineUsage, ...]


@dataclass(frozen=True, slots=True)
class _Attempt:
    begin: float
    end: float
    status: str


def timeline(root: Path, rows: Sequence[Row], now: datetime) -> Timeline | None:
    """The timeline of the rows' batches; None where no run has a time.

    A batch's ledger has every attempt; without a ledger, the last attempt is read from each run
    folder. `now` is where the bar of a running attempt ends.
    """
    batches = list(dict.fromkeys(row.batch_id for row in reversed(rows) if row.batch_id))
    batches = batches[:_MOST_BATCHES]
    running = {row.run_id for row in rows if row.status == RUNNING}
    attempts: list[_Attempt] = []
    usage: list[tuple[float, float, float]] = []
    from_ledger: set[str | None] = set()
    for batch_id in batches:
        folder = SweepFolder(root, batch_id)
        found = list(_of_ledger(folder.facts(), running, now.timestamp()))
        if found:
            from_ledger.add(batch_id)
            attempts += found
        usage += _usage(folder.path / USAGE_JSONL)
    attempts += [
        attempt
        for row in rows
        if row.batch_id not in from_ledger and (attempt := _of_row(row, now.timestamp()))
    ]
    if not attempts:
        return None
    attempts.sort(key=lambda attempt: attempt.begin)
    clock = _Clock(attempts)
    bars, lanes = _bars(attempts, clock)
    return Timeline(
        bars,
        lanes,
        clock.length_s,
        clock.breaks,
        datetime.fromtimestamp(attempts[0].begin, tz=now.tzinfo),
        tuple(
            MachineUsage(place, cpu, memory)
            for at, cpu, memory in sorted(usage)
            if (place := clock.place(at)) is not None
        ),
    )


def _of_ledger(
    facts: Iterable[dict[str, Any]], running: set[str], now: float
) -> Iterable[_Attempt]:
    open_: dict[tuple[Any, Any], tuple[float, Any]] = {}
    last: dict[Any, float] = {}
    for fact in facts:
        at = _seconds(fact.get("at"))
        if at is None:
            continue
        session = fact.get("session")
        last[session] = at
        key = fact.get("run_id"), fact.get("attempt")
        if fact.get("event") == "started":
            open_[key] = at, session
        elif fact.get("event") == "ended" and key in open_:
            begin, its_session = open_.pop(key)
            # The next session writes the ends of a dead one, perhaps days later.
            end = at if session == its_session else last[its_session]
            status = CUT_OFF if fact.get("cause") == PARENT_LOST else str(fact.get("status"))
            yield _Attempt(begin, max(end, begin), status)
    newest = max(last.values(), default=0.0)
    for (run_id, _), (begin, session) in open_.items():
        if run_id in running and last[session] == newest:
            yield _Attempt(begin, max(now, begin), RUNNING)
        else:
            yield _Attempt(begin, max(last[session], begin), CUT_OFF)


def _of_row(row: Row, now: float) -> _Attempt | None:
    begin = _seconds(row.started_at)
    if begin is None:
        return None
    end = _seconds(row.finished_at)
    if end is None and row.duration_sec is not None:
        end = begin + row.duration_sec
    if end is None:
        return _Attempt(begin, max(now, begin), row.status) if row.status == RUNNING else None
    return _Attempt(begin, max(end, begin), row.status)


class _Clock:
    """Seconds on the timeline: wall-clock time with the long pauses cut out."""

    def __init__(self, attempts: Sequence[_Attempt]) -> None:
        busy: list[list[float]] = []
        total = sum(attempt.end - attempt.begin for attempt in attempts)
        limit = max(_SHORTEST_BREAK_S, _BREAK_SHARE * total)
        for attempt in attempts:
            if busy and attempt.begin - busy[-1][1] <= limit:
                busy[-1][1] = max(busy[-1][1], attempt.end)
            else:
                busy.append([attempt.begin, attempt.end])
        self._busy = busy
        self._offsets: list[float] = []
        at = 0.0
        for begin, end in busy:
            self._offsets.append(at)
            at += end - begin
        self.length_s = at
        self.breaks = tuple(self._offsets[1:])

    def place(self, at: float) -> float | None:
        """Where the moment is; None where it was cut out."""
        for (begin, end), offset in zip(self._busy, self._offsets, strict=True):
            if begin <= at <= end:
                return offset + at - begin
        return None


def _bars(attempts: Sequence[_Attempt], clock: _Clock) -> tuple[tuple[Bar, ...], int]:
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    lanes = 0
    bars = []
    for attempt in attempts:
        while busy and busy[0][0] <= attempt.begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane, lanes = lanes, lanes + 1
        heapq.heappush(busy, (attempt.end, lane))
        begin = clock.place(attempt.begin) or 0.0
        bars.append(Bar(lane, begin, begin + attempt.end - attempt.begin, attempt.status))
    return tuple(bars), lanes


def _usage(path: Path) -> Iterable[tuple[float, float, float]]:
    for line in read_json_lines(path):
        if isinstance(line, dict) and (at := _seconds(line.get("at"))) is not None:
            cpu, memory = line.get("cpu_percent"), line.get("memory_percent")
            if isinstance(cpu, int | float) and isinstance(memory, int | float):
                yield at, float(cpu), float(memory)


def _seconds(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None
