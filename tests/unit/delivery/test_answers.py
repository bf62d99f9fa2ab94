"""What an answer is taken to say: only what it calls accepted is, and whose fault a refusal is."""

from __future__ import annotations

from pathlib import Path

import pytest

from argus_tasks.delivery.answers import EventResults, event_results
from argus_tasks.delivery.events import Source
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.outbox_counts import account
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment import SegmentWriter
from argus_tasks.delivery.transport import Answer
from tests.unit.delivery.test_shipper import FakeServer, Time, settle, shipper_of

SOURCE = Source("p", "h")


def emitter_of(tmp_path: Path) -> tuple[Outbox, Emitter]:
    outbox = Outbox(tmp_path / "o", limit_bytes=2**30, shared=False).create()
    return outbox, Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)


def epochs(server: FakeServer) -> list[int]:
    return [row["data"]["epoch"] for row in server.rows]


def test_an_event_that_the_answer_leaves_out_waits(tmp_path: Path) -> None:
    outbox, emitter = emitter_of(tmp_path)
    server, time = FakeServer(), Time()
    server.silent_of = set(range(20))
    for epoch in range(20):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    shipper = shipper_of(outbox, server, time)
    for _ in range(10):
        while shipper.step():
            pass
        time.now += shipper.wait_s()
    assert account(outbox, "b").delivered == 0
    assert account(outbox, "b").waiting == 20
    server.silent_of = set()
    settle(shipper, time)
    assert epochs(server) == list(range(20))
    assert (account(outbox, "b").delivered, account(outbox, "b").waiting) == (20, 0)


@pytest.mark.parametrize(
    ("body", "accepts"),
    [
        ({"accepted": 2}, True),
        ({"accepted": 2, "rejected": 0, "results": []}, True),
        ({"accepted": 2, "rejected": 1}, False),
        ({"accepted": 1, "rejected": 1}, False),
        ({}, False),
    ],
)
def test_without_results_an_answer_accepts_all_or_is_none(
    body: dict[str, object], accepts: bool
) -> None:
    said = event_results(Answer(200, body), ["a", "b"])
    assert (said == EventResults()) if accepts else (said is None)


@pytest.mark.parametrize(
    ("status", "because"),
    [(401, "the token"), (403, "the token"), (404, "no Argus events route"), (307, "no Argus ev")],
)
def test_what_only_the_user_can_mend_parks_the_sender_with_its_cause(
    tmp_path: Path, status: int, because: str
) -> None:
    outbox, emitter = emitter_of(tmp_path)
    server, time = FakeServer(), Time()
    emitter.emit("job_epoch", "j", {"epoch": 0})
    server.answers = [Answer(status)]
    shipper = shipper_of(outbox, server, time)
    shipper.step()
    assert shipper.state.state == "parked"
    assert because in shipper.state.reason
    assert account(outbox, "b").waiting == 1


def test_one_that_every_answer_leaves_out_is_set_aside(tmp_path: Path) -> None:
    outbox, emitter = emitter_of(tmp_path)
    server, time = FakeServer(), Time()
    server.silent_of = {7}
    for epoch in range(20):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    settle(shipper_of(outbox, server, time), time)
    assert epochs(server) == [epoch for epoch in range(20) if epoch != 7]
    assert (account(outbox, "b").delivered, account(outbox, "b").set_aside) == (19, 1)
    assert "does not say" in outbox.set_aside.all()[0]["reason"]


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("before", [0, 5], ids=["from the start", "later"])
def test_a_refusal_of_everything_sets_nothing_aside(
    tmp_path: Path, status: int, before: int
) -> None:
    """A proxy that answers for the server, for some seconds."""
    outbox, emitter = emitter_of(tmp_path)
    server, time = FakeServer(), Time()
    shipper = shipper_of(outbox, server, time)
    for epoch in range(before):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    settle(shipper, time)
    for epoch in range(before, 300):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    fault_ends = time.now + 60
    honest = server.post_events
    refusals: list[int] = []

    def post_events(lines: list[bytes]) -> Answer:
        if time.now >= fault_ends:
            return honest(lines)
        refusals.append(len(lines))
        return Answer(status, text="from the proxy")

    server.post_events = post_events  # type: ignore[method-assign, assignment]
    settle(shipper, time)
    assert epochs(server) == list(range(300))
    assert outbox.set_aside.all() == []
    assert account(outbox, "b").delivered == 300
    assert 0 < len(refusals) < 300, "and the proxy is not asked of every event alone"


def test_a_few_bad_ones_at_the_very_start_do_not_block(tmp_path: Path) -> None:
    """Nothing was ever accepted by this sender, and its first events are bad indeed."""
    outbox, emitter = emitter_of(tmp_path)
    server, time = FakeServer(), Time()
    for epoch in range(50):
        emitter.emit("job_epoch", "j", {"epoch": epoch, "poison": int(epoch < 5)})
    settle(shipper_of(outbox, server, time), time)
    assert epochs(server) == list(range(5, 50))
    assert account(outbox, "b").set_aside == 5


def test_the_last_event_of_all_is_bad(tmp_path: Path) -> None:
    """Nothing comes after it that could show that the way is good."""
    outbox, emitter = emitter_of(tmp_path)
    server, time = FakeServer(), Time()
    for epoch in range(5):
        emitter.emit("job_epoch", "j", {"epoch": epoch, "poison": int(epoch == 4)})
    settle(shipper_of(outbox, server, time), time)
    assert epochs(server) == list(range(4))
    assert account(outbox, "b").set_aside == 1


def test_a_killed_sender_loses_nothing_of_what_was_refused_before(tmp_path: Path) -> None:
    """What comes behind an event that is still in doubt is not acknowledged before it."""
    outbox, emitter = emitter_of(tmp_path)
    server, time = FakeServer(), Time()
    for epoch in range(2):
        emitter.emit("job_epoch", "j", {"epoch": epoch})
    refused = Answer(422, text="no")
    server.answers = [refused, refused]  # both, then the first alone; the second is taken
    shipper = shipper_of(outbox, server, time)
    for _ in range(3):
        shipper.step()
    settle(shipper_of(outbox, server, time), time)  # another process goes on
    assert sorted(epochs(server)) == [0, 1]
    assert account(outbox, "b").delivered == 2


def test_what_is_set_aside_counts_in_the_bound(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", limit_bytes=256 * 1024, shared=False).create()
    emitter = Emitter(SegmentWriter(str(outbox.folder), outbox), "b", SOURCE)
    server, time = FakeServer(), Time()
    shipper = shipper_of(outbox, server, time)
    n = 0
    for _ in range(40):
        for _ in range(10):
            emitter.emit("job_start", "j", {"refuse": 1, "text": "x" * 500, "n": n})
            n += 1
        settle(shipper, time)
    emitter.writer.close()
    settle(shipper, time)
    aside = (outbox.folder / "aside.jsonl").stat().st_size
    assert 0 < aside <= outbox.limit_bytes / 4
    assert outbox.size() == aside
    found = account(outbox, "b")
    assert found.missing == 0
    assert found.set_aside == len(outbox.set_aside.all())
    assert found.dropped == {"over_bound": n - found.set_aside}
