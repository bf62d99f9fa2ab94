"""A disk that changes a bit, zeroes a page or cuts a file: everything else is delivered."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from argus_tasks.cli.main import main
from argus_tasks.delivery.events import Source, event_id_of, is_event
from argus_tasks.delivery.eviction import _take_out
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.outbox_counts import account
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.transport import Answer
from tests.unit.delivery.test_shipper import FakeServer, Time, settle, shipper_of

URL = "http://127.0.0.1:9"
OLD = Path(__file__).parent / "outbox_0_1_0"
KINDS = ("flip", "zeroes", "cut")


def write_outbox(folder: Path) -> set[str]:
    """Two chains that refer to each other, one with a gap and partly acknowledged, and all the
    other files that an outbox may have. Returns the ids of what was acknowledged."""
    outbox = Outbox(folder, limit_bytes=2**20, shared=False).create(URL)
    flow, worker = (
        Emitter(SegmentWriter(str(folder), outbox), "b", Source("p", "h")) for _ in range(2)
    )
    flow.emit("batch_start", None, {"n_total_jobs": 1})
    start = flow.emit("job_start", "j", {})
    assert start is not None
    last = worker.emit("job_epoch", "j", {"epoch": 0, "refuse": 1}, after=[start])
    worker.emit("job_epoch", "j", {"epoch": 1})
    server = FakeServer()
    shipper = shipper_of(outbox, server, Time())
    while shipper.step():
        pass
    for n in range(2, 30):
        worker.emit("log_line", "j", {"line": f"line {n}", "level": "info"})
        last = worker.emit("job_epoch", "j", {"epoch": n, "note": "é" * n})
    assert last is not None
    _take_out(outbox, last.segment, 3)
    flow.emit("job_done", "j", {"metrics": {"acc": 1.0}}, after=[last])
    flow.emit("batch_done", None, {"n_done": 1})
    flow.writer._drop(b'{"event_id":"' + b"0" * 36, flow.stream, "disk_full")
    flow.writer.close()
    worker.writer.close()
    (folder / "gone").write_text("nobody.000001\n")
    return server.ids


def damage(data: bytes, kind: str, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    size = rng.choice([16, 512, 4096])
    at -= at % size
    return data[:at] + b"\0" * min(size, len(data) - at) + data[at + size :]


def intact_ids(before: dict[str, bytes], folder: Path) -> set[str]:
    """The events that waited, and whose lines are still what they were."""
    ids = set()
    for name, data in before.items():
        path = folder / name
        left = path.read_bytes()
        start = 0
        for line in data.splitlines(keepends=True):
            end = start + len(line)
            if is_event(line) and left[start:end] == line:
                ids.add(event_id_of(line))
            start = end
    return ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_everything_else_is_delivered(
    tmp_path: Path, kind: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(f"{kind}{seed}")
    whole = tmp_path / "whole"
    acknowledged = write_outbox(whole)
    segments = {path.name: path.read_bytes() for path in whole.glob("*.seg")}
    for turn in range(25 if seed == 1 else 400):
        root = tmp_path / f"root{turn}"
        folder = root / "o"
        shutil.copytree(whole, folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        hit = rng.choice([path for path in files if path.stat().st_size])
        if rng.random() < 0.6:
            hit = folder / rng.choice(sorted(segments))
        hit.write_bytes(damage(hit.read_bytes(), kind, rng))
        told = f"{kind} of {hit.name}, turn {turn}"
        expected = intact_ids(segments, folder)
        monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(root))
        assert main(["outbox"]) == 0, told
        server, time = FakeServer(), Time()
        outbox = Outbox(folder, limit_bytes=2**20, shared=False)
        shipper = shipper_of(outbox, server, time)
        settle(shipper, time)
        settle_waits(shipper, time)
        shipper.finish()
        # What had been acknowledged may be sent again; nothing that waited is missing.
        assert expected - acknowledged <= server.ids, told
        assert outbox.segments() == [], told
        assert main(["outbox"]) == 0, told
        shutil.rmtree(root)


def settle_waits(shipper: object, time: Time) -> None:
    """Let the limits of waits run out."""
    for _ in range(6):
        time.now += 31
        settle(shipper, time)  # type: ignore[arg-type]


def test_an_outbox_of_the_version_before_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "o"
    shutil.copytree(OLD, folder)
    outbox = Outbox(folder, limit_bytes=2**20, shared=False)
    before = account(outbox, "old")
    assert (before.delivered, before.waiting, before.set_aside) == (3, 12, 1)
    assert (before.dropped, before.missing) == ({"over_bound": 10}, 0)
    server, time = FakeServer(), Time()
    shipper = shipper_of(outbox, server, time)
    settle(shipper, time)
    shipper.finish()
    kinds = [row["event_type"] for row in server.rows]
    assert kinds == ["job_epoch"] * 10 + ["job_done", "batch_done"]
    assert [row["data"]["epoch"] for row in server.rows[:10]] == list(range(2, 12))
    after = account(outbox, "old")
    assert (after.delivered, after.waiting, after.set_aside, after.missing) == (15, 0, 1, 0)
    assert outbox.segments() == []
    assert [one["reason"] for one in outbox.set_aside.all()] == ["no"]
    assert len(list((folder / "uploads").glob("*.json"))) == 1


def test_what_cannot_be_read_is_kept_with_its_place(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", shared=False).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", Source("p", "h"))
    for epoch in range(20):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    emitter.writer.close()
    (segment,) = outbox.segments()
    path = Path(outbox.segment_path(segment))
    lines = path.read_bytes().splitlines(keepends=True)
    start = sum(map(len, lines[:6]))
    data = bytearray(path.read_bytes())
    data[start : start + len(lines[6]) + len(lines[7]) - 10] = b"\0" * (
        len(lines[6]) + len(lines[7]) - 10
    )
    path.write_bytes(data)
    server, time = FakeServer(), Time()
    shipper = shipper_of(outbox, server, time)
    settle(shipper, time)
    epochs = [row["data"]["epoch"] for row in server.rows]
    assert epochs == [epoch for epoch in range(20) if epoch not in (5, 6)]
    (aside,) = outbox.set_aside.all()
    assert aside["event_id"] == f"{segment}:{start}"
    assert "cannot be read" in aside["reason"]
    found = account(outbox, "b")
    assert (found.dropped, found.missing) == ({"unreadable": 2}, 0)


def test_a_cursor_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    """It says that events were accepted that were not."""
    outbox = Outbox(tmp_path / "o", shared=False).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", Source("p", "h"))
    emitter.emit("job_epoch", "j", {"epoch": 0})
    server, time = FakeServer(), Time()
    while shipper_of(outbox, server, time).step():
        pass
    place = emitter.emit("job_epoch", "j", {"epoch": 1})
    assert place is not None
    path = outbox.folder / f"{place.segment}.ack"
    offset, _ = outbox.read_ack(place.segment)
    path.write_text(path.read_text().replace(f'"offset":{offset}', f'"offset":{place.offset}'))
    emitter.writer.close()
    settle(shipper_of(outbox, server, time), time)
    assert [row["data"]["epoch"] for row in server.rows] == [0, 1]
    assert (account(outbox, "b").delivered, account(outbox, "b").missing) == (2, 0)


def test_a_damaged_event_is_found_without_asking_the_server_of_each(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", shared=False).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", Source("p", "h"))
    for epoch in range(400):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    emitter.writer.close()
    (segment,) = outbox.segments()
    path = Path(outbox.segment_path(segment))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[201] = lines[201].replace(b'"job_id"', b'"job_id!', 1)
    path.write_bytes(b"".join(lines))
    server, time = FakeServer(), Time()
    shipper = shipper_of(outbox, server, time)
    settle(shipper, time)
    assert [row["data"]["epoch"] for row in server.rows] == [*range(200), *range(201, 400)]
    assert shipper.requests == 2
    (aside,) = outbox.set_aside.all()
    assert aside["event_id"] == f"{segment}:{sum(map(len, lines[:201]))}"
    assert (account(outbox, "b").dropped, account(outbox, "b").missing) == ({"torn": 1}, 0)


def test_an_id_that_cannot_be_read_does_not_stop_the_sender(tmp_path: Path) -> None:
    """A server that takes more than we would."""
    outbox = Outbox(tmp_path / "o", shared=False).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", Source("p", "h"))
    for epoch in range(3):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    emitter.writer.close()
    (segment,) = outbox.segments()
    path = Path(outbox.segment_path(segment))
    data = path.read_bytes()
    path.write_bytes(data.replace(b'00000000001","schema', b'0000000000z","schema', 1))
    server, time = FakeServer(), Time()
    server.answers = [Answer(200, {"accepted": 3, "rejected": 0})]
    settle(shipper_of(outbox, server, time), time)
    assert outbox.segments() == []
    assert account(outbox, "b").delivered == 2
