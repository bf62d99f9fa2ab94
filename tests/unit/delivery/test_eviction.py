"""Making room: what yields, what stays, and that offsets mean what they meant before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from argus_tasks.delivery.events import EPOCH, LIFECYCLE, LOG, Source, event_type_of
from argus_tasks.delivery.eviction import evict
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.outbox_counts import account as account_of
from argus_tasks.delivery.outbox_folder import EVICT_FROM, EVICT_TO, Outbox
from argus_tasks.delivery.reader import SegmentReader
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.segment_places import Ref
from tests.unit.delivery.test_shipper import FakeServer, Time, settle, shipper_of

KINDS = ["log_line", "resource_snapshot", "job_epoch", "job_start"]


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 24))]
)
def test_offsets_survive_and_the_sums_meet(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    outbox = Outbox(tmp_path / "o", limit_bytes=256 * 1024).create()
    server, time = FakeServer(), Time()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", Source("p"))
    places: list[Ref] = []
    lifecycle = 0
    shipper = shipper_of(outbox, server, time)
    for n in range(900):
        kind = rng.choice(KINDS)
        after = [rng.choice(places)] if places and rng.random() < 0.1 else []
        place = emitter.emit(
            kind,
            "j",
            {"epoch": n, "line": "l"},
            after=after,
        )
        lifecycle += kind == "job_start" and place is not None
        if place is not None:
            places.append(place)
        if n in (100, 300):
            shipper.step()
        if n % 150 == 149:
            shipper.finish()
            busy = {max(outbox.segments())}
            evict(outbox, busy)
            emitter.writer.check_limit()
            shipper = shipper_of(outbox, server, time)
    account = account_of(outbox, "b")
    assert account.missing == 0
    emitter.writer.close()
    settle(shipper, time)
    account = account_of(outbox, "b")
    assert account.missing == 0
    assert account.waiting == 0
    assert account.emitted == 900
    assert account.delivered == len(server.rows)
    assert [row["event_type"] for row in server.rows].count("job_start") == lifecycle
    epochs = [row["data"]["epoch"] for row in server.rows]
    assert epochs == sorted(set(epochs))
    assert outbox.segments() == []


def test_the_least_important_yield_first(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", limit_bytes=512 * 1024).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", Source("p"))
    while outbox.size() <= outbox.limit_bytes * EVICT_FROM:
        for kind in KINDS:
            emitter.emit(kind, "j", {"epoch": 1, "line": "l"})
    evict(outbox, {max(outbox.segments())})
    assert outbox.size() <= outbox.limit_bytes * EVICT_TO
    left = [event_type_of(line) for _segment, line in outbox.waiting_events()]
    assert left.count("log_line") < left.count("resource_snapshot")
    assert left.count("resource_snapshot") == left.count("job_epoch") == left.count("job_start")


@pytest.mark.parametrize(
    ("share", "highest"), [(0.5, LOG), (EVICT_FROM, EPOCH), (15 / 16, LIFECYCLE), (1, -1)]
)
def test_near_its_bound_an_outbox_admits_only_what_matters_most(
    tmp_path: Path, share: float, highest: int
) -> None:
    outbox = Outbox(tmp_path / "o", limit_bytes=2**20).create()
    with Path(outbox.segment_path("chain.000001")).open("wb") as segment:
        segment.truncate(int(share * 2**20))
    assert outbox.admits() == highest


def test_below_the_mark_nothing_is_touched(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", limit_bytes=512 * 1024).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", Source("p"))
    while outbox.size() < outbox.limit_bytes * 0.75:
        emitter.emit("log_line", "j", {"line": "l"})
    assert evict(outbox, set()) == []


def test_a_gapped_segment_is_read_from_any_offset(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", limit_bytes=256 * 1024).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", Source("p"))
    places = []
    while outbox.size() <= outbox.limit_bytes * EVICT_FROM:
        emitter.emit("log_line", "j", {"line": "l"})
        places.append(emitter.emit("job_start", "j", {"n": len(places)}))
    evict(outbox, set())
    first = outbox.segments()[0]
    mine = [place for place in places if place is not None and place.segment == first]
    for index, place in enumerate(mine):
        reader = SegmentReader(outbox.segment_path(first), place.offset)
        rest = [entry for entry in reader.read() if entry.line]
        assert len(rest) == len(mine) - index - 1
