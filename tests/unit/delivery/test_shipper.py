"""The sender's logic against random answers, restarts and appends; no thread, no network."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.delivery.events import Source
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.outbox_counts import account as account_of
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.delivery.shipper import Shipper
from argus_tasks.delivery.transport import Answer
from tests.event_model import envelope_error

SOURCE = Source("p", "h")


class FakeServer:
    """Stores as the server does; `script` says what goes wrong with a request."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.ids: set[str] = set()
        self.requests: list[list[str]] = []
        self.rng = rng
        self.answers: list[Answer] = []
        self.silent_of: set[int] = set()
        """Epochs that a 200 says nothing of, and that are not stored."""

    def post_events(self, lines: Sequence[bytes]) -> Answer:
        try:
            events = json.loads(b'{"events":[' + b",".join(lines) + b"]}")["events"]
        except ValueError as error:
            return Answer(422, text=f"no JSON: {error}")
        self.requests.append([event.get("event_id") for event in events])
        if self.answers:
            return self.answers.pop(0)
        if problem := next(filter(None, map(envelope_error, events)), None):
            return Answer(422, text=problem)
        mood = self.rng.random() if self.rng else 1.0
        if mood < 0.1:
            return Answer(None, error="connection refused")
        if mood < 0.2:
            return Answer(503)
        if mood < 0.25:
            return Answer(429, retry_after_s=7.0)
        if any(event["data"].get("poison") for event in events):
            return Answer(422, text="poisoned")
        results = []
        for event in events:
            if event["data"].get("refuse"):
                results.append({"event_id": event["event_id"], "status": "rejected", "error": "no"})
                continue
            if event["data"].get("epoch") in self.silent_of:
                continue
            known = event["event_id"] in self.ids
            if not known:
                self.ids.add(event["event_id"])
                self.rows.append(event)
            status = "deduplicated" if known else "accepted"
            results.append({"event_id": event["event_id"], "status": status})
        if mood < 0.35:
            return Answer(None, error="reset in mid response")
        return Answer(200, {"accepted": len(results), "rejected": 0, "results": results})

    def upload(self, *_: Any) -> Answer:
        raise AssertionError("no uploads here")

    def stop_requested(self, batch_id: str) -> Answer:
        raise AssertionError(batch_id)

    def reach(self) -> Answer:
        raise AssertionError("not asked")

    def close(self) -> None:
        pass


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def shipper_of(outbox: Outbox, server: FakeServer, time: Time) -> Shipper:
    return Shipper(outbox, server, monotonic=time, jitter=lambda: 0.5)


def settle(shipper: Shipper, time: Time, steps: int = 5_000) -> None:
    """Step until nothing is left to do, passing over every pause."""
    idle = 0
    for _ in range(steps):
        if shipper.step():
            idle = 0
            continue
        if shipper.wait_s() > 0:
            time.now += shipper.wait_s()
            continue
        time.now += 1.1
        shipper.clean()
        idle += 1
        if idle > 3:
            return
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(n, marks=pytest.mark.slow) for n in range(8, 60))]
)
def test_random_answers_restarts_and_writers(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    outbox = Outbox(tmp_path / "o", limit_bytes=2**30).create()
    server, time = FakeServer(rng), Time()
    writers = [SegmentWriter(str(outbox.folder), outbox) for _ in range(3)]
    emitters = [Emitter(writer, f"b{n}", SOURCE) for n, writer in enumerate(writers)]
    sent = [0, 0, 0]
    bad: list[int] = []
    after: list[list[Ref]] = [[], [], []]
    shipper = shipper_of(outbox, server, time)
    for _ in range(60):
        n = rng.randrange(3)
        for _ in range(rng.choice([1, 5, 300])):
            kind = "poison" if rng.random() < 0.002 else "refuse" if rng.random() < 0.002 else "ok"
            emitters[n].emit("job_epoch", f"j{n}", {"epoch": sent[n], kind: 1}, after=after[n])
            after[n] = []
            sent[n] += 1
            bad += [n] if kind != "ok" else []
        place = writers[n].place()
        if place is not None and rng.random() < 0.1:
            # A new chain of the same batch names the end of the old one.
            writers[n].close()
            after[n] = [place]
        if rng.random() < 0.1:
            # A kill: nothing is finished, the next one reads the files.
            shipper = shipper_of(outbox, server, time)
        for _ in range(rng.randrange(4)):
            if not shipper.step():
                time.now += rng.choice([0.1, shipper.wait_s()])
    for writer in writers:
        writer.close()
    settle(shipper, time)
    shipper.finish()
    for n in range(3):
        mine = [row["data"]["epoch"] for row in server.rows if row["batch_id"] == f"b{n}"]
        assert mine == sorted(set(mine)), "order, and each once"
        assert len(mine) == sent[n] - bad.count(n)
        account = account_of(outbox, f"b{n}")
        assert account.missing == 0
        assert (account.emitted, account.delivered) == (sent[n], len(mine))
        assert account.set_aside == bad.count(n)
    assert outbox.segments() == []
    assert len(outbox.set_aside.all()) == len(bad)
    left = {path.suffix for path in outbox.folder.iterdir()}
    assert not left & {".seg", ".ack", ".live", ".drops", ".reserve"}


def test_a_predecessor_in_another_segment_goes_first(tmp_path: Path) -> None:
    """`job_start` in the flow's segment, epochs in the worker's, `job_done` in the flow's."""
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    flow = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    worker = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    # The worker's chain sorts first by name in half of the cases: order must not rest on it.
    worker.writer.begin()
    starts = flow.emit("job_start", "j", {})
    assert starts is not None
    last = worker.emit("job_epoch", "j", {"epoch": 0}, after=[starts])
    for epoch in range(1, 700):
        last = worker.emit("job_epoch", "j", {"epoch": epoch})
    assert last is not None
    flow.emit("job_done", "j", {}, after=[last])
    settle(shipper_of(outbox, server, time), time)
    kinds = [row["event_type"] for row in server.rows]
    assert kinds == ["job_start", *["job_epoch"] * 700, "job_done"]


def test_a_predecessor_that_waits_is_waited_for(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    flow = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    worker = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    place = worker.emit("job_epoch", "j", {"epoch": 0})
    assert place is not None
    flow.emit("job_done", "j", {}, after=[Ref(place.segment, place.offset + 1)])
    shipper = shipper_of(outbox, server, time)
    settle(shipper, time)
    assert [row["event_type"] for row in server.rows] == ["job_epoch"]
    worker.emit("job_epoch", "j", {"epoch": 1})
    settle(shipper, time)
    assert [row["event_type"] for row in server.rows] == ["job_epoch", "job_epoch", "job_done"]


def test_a_predecessor_that_nobody_knows_is_waited_for_with_a_limit(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    flow = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    flow.emit("job_done", "j", {}, after=[Ref("nobody.000001", 10)])
    shipper = shipper_of(outbox, server, time)
    assert not shipper.step()
    time.now += 29
    assert not shipper.step()
    time.now += 2
    shipper.step()
    assert len(server.rows) == 1


def test_a_segment_of_the_dead_ends_where_its_last_whole_line_does(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    dead = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    place = dead.emit("job_epoch", "j", {"epoch": 0})
    assert place is not None
    dead.writer.close()
    flow = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    flow.emit("job_done", "j", {}, after=[Ref(place.segment, place.offset + 10_000)])
    settle(shipper_of(outbox, server, time), time)
    assert [row["event_type"] for row in server.rows] == ["job_epoch", "job_done"]


def test_a_segment_in_a_request_is_not_removed_though_it_has_been_read(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    emitter.emit("job_epoch", "j", {"epoch": 0})
    emitter.writer.close()
    server.answers = [Answer(503)]
    shipper = shipper_of(outbox, server, time)
    shipper.step()
    shipper.clean()
    assert len(outbox.segments()) == 1
    settle(shipper, time)
    assert [row["data"]["epoch"] for row in server.rows] == [0]
    assert outbox.segments() == []


def test_retry_after_is_kept_whatever_we_would_like(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    emitter.emit("job_epoch", "j", {"epoch": 0})
    server.answers = [Answer(429, retry_after_s=20.0)]
    shipper = shipper_of(outbox, server, time)
    shipper.step()
    shipper.retry_now(even_parked=True)
    assert 20.0 <= shipper.wait_s() <= 20.1
    assert not shipper.step()
    assert len(server.requests) == 1


def test_back_off_grows_with_jitter_and_has_an_end(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    emitter.emit("job_epoch", "j", {"epoch": 0})
    server.answers = [Answer(None, error="refused") for _ in range(12)]
    rolls = iter([0.0, 1.0] * 6)
    shipper = Shipper(outbox, server, monotonic=time, jitter=lambda: next(rolls))
    pauses = []
    for _ in range(12):
        shipper.step()
        pauses.append(shipper.wait_s())
        time.now += shipper.wait_s()
    assert pauses[:4] == pytest.approx([0.125, 0.5, 0.5, 2.0])
    assert max(pauses) == pytest.approx(30.0)


def test_requests_stay_under_a_megabyte(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    for n in range(60):
        emitter.emit("job_done", "j", {"n": n, "text": "x" * 60_000})
    settle(shipper_of(outbox, server, time), time)
    assert [row["data"]["n"] for row in server.rows] == list(range(60))
    assert {len(ids) for ids in server.requests} == {16, 12}


def test_workers_on_a_shared_file_system(tmp_path: Path) -> None:
    """Their outbox lies under the results root; the flow's sender ships it too."""
    mine = Outbox(tmp_path / "mine").create()
    theirs = Outbox(tmp_path / "theirs").create()
    server, time = FakeServer(), Time()
    flow = Emitter(SegmentWriter(str(mine.folder), mine), "b", SOURCE)
    worker = Emitter(SegmentWriter(str(theirs.folder), theirs), "b", SOURCE)
    begin = flow.emit("job_start", "j", {})
    assert begin is not None
    last = worker.emit("job_epoch", "j", {"epoch": 0}, after=[begin])
    assert last is not None
    flow.emit("job_done", "j", {}, after=[last])
    worker.writer.close()
    shipper = shipper_of(mine, server, time)
    shipper.also(theirs)
    settle(shipper, time)
    assert [row["event_type"] for row in server.rows] == ["job_start", "job_epoch", "job_done"]
    assert theirs.segments() == []
    assert account_of(theirs, "b").delivered == 1


def test_on_a_shared_disk_another_hosts_quiet_chain_is_left_alone(tmp_path: Path) -> None:
    """Its lock may not be seen from here: deleting what it still writes to would lose events."""
    outbox = Outbox(tmp_path / "o", shared=True).create()
    local = Outbox(tmp_path / "o", shared=False)
    chain = "20260101000000-0badb007-77-abcdef"
    (outbox.folder / f"{chain}.live").touch()
    source = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    source.emit("job_start", "j", {})
    mine = outbox.segments()[0]
    source.writer.close()
    segment = Path(outbox.segment_path(mine))
    lines = segment.read_bytes().splitlines(keepends=True)
    theirs = Path(outbox.segment_path(f"{chain}.000001"))
    theirs.write_bytes(b"".join(lines[:-1]))
    segment.unlink()
    server, time = FakeServer(), Time()
    settle(shipper_of(outbox, server, time), time)
    assert len(server.rows) == 1
    assert theirs.exists()
    old = theirs.stat().st_mtime - 1000
    os.utime(theirs, (old, old))
    settle(shipper_of(outbox, server, time), time)
    assert not theirs.exists()
    assert account_of(local, "b").delivered == 1


def test_what_a_full_disk_cut_short_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    """A torn line, and one that a whole event stands behind on the same line."""
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    for epoch in range(4):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    path = Path(outbox.segment_path(outbox.segments()[0]))
    header, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + lines[0] + lines[1][:100] + lines[2][:-50] + b"\n" + lines[3])
    emitter.writer.close()
    settle(shipper_of(outbox, server, time), time)
    assert [row["data"]["epoch"] for row in server.rows] == [0, 3]
    other = Emitter(SegmentWriter(str(outbox.folder), outbox), "c", SOURCE)
    for epoch in range(3):
        other.emit("job_epoch", "j", {"epoch": epoch})
    path = Path(outbox.segment_path(outbox.segments()[0]))
    header, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + lines[0] + lines[1][:100] + lines[2])
    other.writer.close()
    settle(shipper_of(outbox, server, time), time)
    rows = [row["data"]["epoch"] for row in server.rows if row["batch_id"] == "c"]
    assert rows == [0, 2]
    account = account_of(outbox, "c")
    assert account.missing == 0
    assert account.dropped == {"torn": 1}


def test_a_call_that_is_interrupted_is_accounted_for(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o").create()
    server, time = FakeServer(), Time()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    emitter.emit("job_start", "j", {})
    next(emitter.stream.numbers)  # used up, and then came Ctrl-C
    emitter.interrupted()
    emitter.emit("job_done", "j", {})
    next(emitter.stream.numbers)  # lost without a word: this must show
    emitter.emit("job_done", "j", {})
    emitter.writer.close()
    settle(shipper_of(outbox, server, time), time)
    account = account_of(outbox, "b")
    assert account.delivered == 3
    assert account.dropped == {"interrupted": 1}
    assert account.missing == 1


def test_a_chain_that_ends_behind_its_last_delivery_is_removed(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", limit_bytes=2**30).create()
    server, time = FakeServer(), Time()
    writer = SegmentWriter(str(outbox.folder), outbox)
    Emitter(writer, "b", SOURCE).emit("batch_done", None, {})
    shipper = shipper_of(outbox, server, time)
    settle(shipper, time)
    assert len(server.rows) == 1
    writer.close()
    shipper.finish()
    assert outbox.segments() == []
    assert account_of(outbox, "b").delivered == account_of(outbox, "b").emitted == 1
