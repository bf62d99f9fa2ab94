"""Order across chains: kept where it can be, and never in the way for good."""

from __future__ import annotations

import os
from pathlib import Path

from argus_tasks.delivery.events import Source
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.outbox_counts import account
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.reader import SegmentReader
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.segment_places import Ref
from tests.unit.delivery.test_shipper import FakeServer, Time, settle, shipper_of

SOURCE = Source("p", "h")


def outbox_of(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "o", limit_bytes=2**30, shared=False).create()


def emitter_of(outbox: Outbox) -> Emitter:
    return Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)


def test_chains_that_wait_for_each_other_are_let_go_after_a_limit(tmp_path: Path) -> None:
    outbox, server, time = outbox_of(tmp_path), FakeServer(), Time()
    one, two = emitter_of(outbox), emitter_of(outbox)
    ends = [
        emitter.emit("job_epoch", "j", {"epoch": epoch}) for emitter, epoch in ((one, 0), (two, 10))
    ]
    # Each names a place within the event of the other that is yet to come.
    first, second = (Ref(end.segment, end.offset + 10) for end in ends if end is not None)
    one.emit("job_epoch", "j", {"epoch": 1}, after=[second])
    two.emit("job_epoch", "j", {"epoch": 11}, after=[first])
    shipper = shipper_of(outbox, server, time)
    for _ in range(20):
        shipper.step()
        time.now += 1
    assert sorted(row["data"]["epoch"] for row in server.rows) == [0, 10]
    time.now += 20
    settle(shipper, time)
    assert sorted(row["data"]["epoch"] for row in server.rows) == [0, 1, 10, 11]
    assert account(outbox, "b").unordered == 1, "counted; the other one was waited for"


def test_what_comes_nearer_is_waited_for_beyond_the_limit(tmp_path: Path) -> None:
    """A server that takes one event at a time, ten seconds each."""
    outbox, server, time = outbox_of(tmp_path), FakeServer(), Time()
    flow, worker = emitter_of(outbox), emitter_of(outbox)
    flow.writer.begin()
    last = None
    for epoch in range(30):
        last = worker.emit("job_epoch", "j", {"epoch": epoch})
    assert last is not None
    done = flow.emit("job_done", "j", {}, after=[last])
    assert done is not None
    # The flow's chain is looked at first, each time.
    outbox.segments = lambda: [done.segment, last.segment]  # type: ignore[method-assign]
    shipper = shipper_of(outbox, server, time)
    shipper._taker._max_events = 1
    for _ in range(40):
        shipper.step()
        time.now += 10
    assert [row["event_type"] for row in server.rows] == ["job_epoch"] * 30 + ["job_done"]
    assert account(outbox, "b").unordered == 0


def test_time_in_which_the_server_was_away_is_not_waited(tmp_path: Path) -> None:
    outbox, server, time = outbox_of(tmp_path), FakeServer(), Time()
    flow, worker = emitter_of(outbox), emitter_of(outbox)
    place = worker.emit("job_epoch", "j", {"epoch": 0})
    assert place is not None
    flow.emit("job_done", "j", {}, after=[Ref(place.segment, place.offset + 100_000)])
    shipper = shipper_of(outbox, server, time)
    from argus_tasks.delivery.transport import Answer

    server.answers = [Answer(503)] * 12
    for _ in range(12):
        shipper.step()
        time.now += shipper.wait_s() + 10
    shipper.step()
    assert [row["event_type"] for row in server.rows] == ["job_epoch"]
    assert not shipper.step()
    assert [row["event_type"] for row in server.rows] == ["job_epoch"]


def test_a_forked_child_goes_after_its_parent(tmp_path: Path) -> None:
    """Order must not rest on how the files are called, nor on which is read first."""
    outbox = outbox_of(tmp_path)
    emitter = emitter_of(outbox)
    written = emitter.emit("job_start", "j", {})
    assert written is not None
    child = os.fork()
    if child == 0:
        emitter.emit("job_epoch", "j", {"epoch": 0})
        os._exit(0)
    os.waitpid(child, 0)
    emitter.emit("job_epoch", "j", {"epoch": 1})
    (theirs,) = [name for name in outbox.segments() if not name.startswith(written.chain)]
    first = SegmentReader(outbox.segment_path(theirs)).read()[0]
    assert first.after == (written,)
    server, time = FakeServer(), Time()
    # The child's chain is read first.
    shipper = shipper_of(outbox, server, time)
    outbox.segments = lambda: [theirs, written.segment]  # type: ignore[method-assign]
    shipper.step()
    assert server.rows[0]["event_type"] == "job_start"
    assert len(server.rows) == 3


def test_a_note_and_its_event_are_one_write(tmp_path: Path) -> None:
    """Two threads, each with its own stream: what one has to wait for holds the other back not."""
    outbox = outbox_of(tmp_path)
    writer = SegmentWriter(str(outbox.folder), outbox)
    one, two = Emitter(writer, "b", SOURCE), Emitter(writer, "b", SOURCE)
    one.stream.after = (Ref("nobody.000001", 10),)
    two.emit("job_epoch", "j", {"epoch": 0})
    one.emit("job_epoch", "j", {"epoch": 1})
    one.emit("job_epoch", "j", {"epoch": 2})
    (segment,) = outbox.segments()
    entries = SegmentReader(outbox.segment_path(segment)).read()
    assert [bool(entry.after) for entry in entries] == [False, True, False, False]
    server, time = FakeServer(), Time()
    shipper_of(outbox, server, time).step()
    assert [row["data"]["epoch"] for row in server.rows] == [0]
