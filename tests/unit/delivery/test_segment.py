"""Chains that processes hand on, descriptors, bounds, and books that are folded once."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

from argus_tasks.delivery.events import Source
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.outbox_counts import account
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
from tests.support.delivery import ROOT
from tests.unit.delivery.test_shipper import FakeServer, Time, settle, shipper_of

SOURCE = Source("p", "h")

WORKER = """
import sys
from argus_tasks.delivery.events import Source
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
outbox = Outbox(sys.argv[1], shared=False)
emitter = Emitter(SegmentWriter(sys.argv[1], outbox, reuse_idle=True), "b", Source("p"))
for epoch in range(3):
    emitter.emit("job_epoch", sys.argv[2], {"epoch": epoch})
if sys.stdin.readline():
    emitter.writer.close()
"""


def start(outbox: Outbox, job: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(outbox.folder), job],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        text=True,
    )


def finish(worker: subprocess.Popen[str], said: str = "done\n") -> None:
    worker.communicate(said, timeout=60)
    assert worker.returncode == 0


def test_a_write_that_is_cut_short_is_taken_back_and_counted(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", shared=False).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    first = emitter.emit("job_start", "j", {})
    assert first is not None
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (first.offset + 50, limits[1]))
    try:
        emitter.emit("job_epoch", "j", {"epoch": 0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert Path(outbox.segment_path(first.segment)).stat().st_size == first.offset
    emitter.emit("job_done", "j", {})
    server, time = FakeServer(), Time()
    settle(shipper_of(outbox, server, time), time)
    assert [row["event_type"] for row in server.rows] == ["job_start", "job_done"]
    assert account(outbox, "b").dropped == {"disk_full": 1}


def test_processes_that_follow_each_other_write_to_one_file(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", shared=False).create()
    jobs = [f"j{n}" for n in range(5)]
    for job in jobs:
        finish(start(outbox, job))
    assert len(outbox.segments()) == 1
    server, time = FakeServer(), Time()
    shipper = shipper_of(outbox, server, time)
    settle(shipper, time)
    rows = [(row["job_id"], row["data"]["epoch"]) for row in server.rows]
    assert rows == [(job, epoch) for job in jobs for epoch in range(3)]
    assert outbox.segments() == []
    assert outbox.chains() == set(), "nothing of it stays behind"
    finish(start(outbox, "after"))
    settle(shipper, time)
    assert server.rows[-1]["job_id"] == "after"
    assert account(outbox, "b").missing == 0


def test_a_chain_is_never_written_by_two(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", shared=False).create()
    finish(start(outbox, "first"))
    both = [start(outbox, f"j{n}") for n in range(3)]
    for worker in both:
        finish(worker)
    assert 1 <= len(outbox.segments()) <= 3
    server, time = FakeServer(), Time()
    settle(shipper_of(outbox, server, time), time)
    assert len(server.rows) == 12


def test_a_killed_process_s_chain_is_not_gone_on_with(tmp_path: Path) -> None:
    """What waits for a dead worker's last event must not wait for another's."""
    outbox = Outbox(tmp_path / "o", shared=False).create()
    finish(start(outbox, "dies"), "")  # it ends without closing
    finish(start(outbox, "next"))
    assert len(outbox.segments()) == 2


def test_more_segments_than_a_process_may_open(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", shared=False).create()
    for n in range(150):
        emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
        emitter.emit("job_epoch", f"j{n}", {"epoch": n})
        emitter.writer.close()
    code = """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    from argus_tasks.delivery.outbox_folder import Outbox
    from tests.unit.delivery.test_shipper import FakeServer, Time, settle, shipper_of
    server, time = FakeServer(), Time()
    settle(shipper_of(Outbox(sys.argv[1], shared=False), server, time), time)
    print(len(server.rows))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(outbox.folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "150\n", done.stderr
    assert outbox.segments() == []


def test_the_bound_holds_for_lifecycle_events_too(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", limit_bytes=256 * 1024, shared=False).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    kept = [emitter.emit("job_start", "j", {"text": "x" * 300}) is not None for _ in range(1_500)]
    assert outbox.size() <= outbox.limit_bytes + outbox.segment_bytes
    found = account(outbox, "b")
    assert found.waiting == sum(kept) < 1_500
    assert found.dropped == {"over_bound": 1_500 - sum(kept)}
    assert found.missing == 0


def test_a_segment_that_is_folded_twice_counts_once(tmp_path: Path) -> None:
    """Killed between the book and the removal: the next sender folds it again."""
    outbox = Outbox(tmp_path / "o", shared=False).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    for epoch in range(5):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    emitter.writer.close()
    (segment,) = outbox.segments()
    whole = Path(outbox.segment_path(segment)).read_bytes()
    server, time = FakeServer(), Time()
    shipper = shipper_of(outbox, server, time)
    while shipper.step():
        pass
    ack = (outbox.folder / f"{segment}.ack").read_bytes()
    shipper.finish()
    assert outbox.segments() == []
    Path(outbox.segment_path(segment)).write_bytes(whole)
    (outbox.folder / f"{segment}.ack").write_bytes(ack)
    assert account(outbox, "b").delivered == 5
    settle(shipper_of(outbox, server, time), time)
    assert outbox.segments() == []
    assert (account(outbox, "b").delivered, account(outbox, "b").missing) == (5, 0)


def test_an_event_larger_than_a_segment_goes_into_an_empty_one(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", limit_bytes=64 * 1024, shared=False).create()
    writer = SegmentWriter(str(outbox.folder), outbox)
    writer.begin()
    Emitter(writer, "b", SOURCE).emit("job_start", "j", {"text": "x" * 10_000})
    assert len(outbox.segments()) == 1
