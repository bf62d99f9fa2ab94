"""`argus-tasks outbox` and `argus-tasks doctor`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.argus_server import ArgusServer, Faults
from tests.support.delivery import argus_tasks, run

TRAIN = """
with Reporter("t", batch_id="b", **QUIET) as r, r.job("train") as j:
    for e in range(20):
        j.epoch(e, note="refuse" + "-mark" if e == 7 else "fine")
"""


def test_what_waits_since_when_and_why(server: ArgusServer, outbox: Path) -> None:
    server.tokens = {"other"}
    code, _, err = run(TRAIN, outbox=outbox, url=server.url)
    assert code == 0, err
    code, out, _ = argus_tasks("outbox", outbox=outbox)
    assert code == 0
    assert f"server    {server.url}" in out
    found = re.search(r"(\d+) events, the oldest from 20", out)
    assert found
    n = int(found[1])
    assert n in (24, 25), "the snapshot of the environment may come too late on a busy machine"
    assert "the server does not accept the token" in out
    assert f"batch     b: {n} emitted = 0 delivered + {n} waiting + 0 set aside + 0 dropped" in out
    page = json.loads(argus_tasks("outbox", "--json", outbox=outbox)[1])[0]
    assert page["sender"]["state"] == "parked"
    code, out, err = argus_tasks("outbox", "send", outbox=outbox, url=server.url)
    assert code == 1
    assert f"{n} are left" in out
    assert "token" in err
    server.tokens = None
    code, out, _ = argus_tasks("outbox", "send", "--all", outbox=outbox)
    assert code == 0
    assert f"{n} events waited, 0 are left" in out


def test_show_and_drop(server: ArgusServer, outbox: Path) -> None:
    server.faults = Faults(reject=["refuse-mark"])
    run(TRAIN, outbox=outbox, url=server.url)
    page = json.loads(argus_tasks("outbox", "--json", outbox=outbox)[1])[0]
    assert page["batches"][0]["set_aside"] == 1
    event_id = page["set_aside"][0]["event_id"]
    code, out, _ = argus_tasks("outbox", "show", event_id, outbox=outbox)
    shown = json.loads(out)
    assert code == 0
    assert shown["where"] == "set aside"
    assert shown["reason"] == "refused by the test"
    assert shown["event"]["data"]["epoch"] == 7
    code, out, _ = argus_tasks("outbox", "drop", event_id, "--reason", "known", outbox=outbox)
    assert (code, out) == (0, "dropped 1 of the events: known\n")
    page = json.loads(argus_tasks("outbox", "--json", outbox=outbox)[1])[0]
    assert page["batches"][0]["dropped"] == {"known": 1}
    assert page["batches"][0]["missing"] == 0
    assert page["set_aside"] == []
    code, _, err = argus_tasks("outbox", "show", event_id, outbox=outbox)
    assert code == 2
    assert event_id in err


def test_retry_sends_again_what_was_set_aside(server: ArgusServer, outbox: Path) -> None:
    server.faults = Faults(reject=["refuse-mark"])
    run(TRAIN, outbox=outbox, url=server.url)
    (aside,) = json.loads(argus_tasks("outbox", "--json", outbox=outbox)[1])[0]["set_aside"]
    code, out, err = argus_tasks("outbox", "retry", outbox=outbox, url=server.url)
    assert code == 0, err
    assert out.startswith("1 events that were set aside wait again\n")
    page = json.loads(argus_tasks("outbox", "--json", outbox=outbox)[1])[0]
    assert [one["event_id"] for one in page["set_aside"]] == [aside["event_id"]], "refused again"
    assert (page["batches"][0]["set_aside"], page["batches"][0]["missing"]) == (1, 0)
    server.heal()
    code, out, err = argus_tasks(
        "outbox", "retry", aside["event_id"], outbox=outbox, url=server.url
    )
    assert code == 0, err
    page = json.loads(argus_tasks("outbox", "--json", outbox=outbox)[1])[0]
    assert page["set_aside"] == []
    (batch,) = page["batches"]
    assert (batch["waiting"], batch["set_aside"], batch["missing"]) == (0, 0, 0)
    assert batch["delivered"] == batch["emitted"]
    assert sorted(row["data"]["epoch"] for row in server.rows("b", "job_epoch")) == [*range(20)]
    code, _, err = argus_tasks("outbox", "retry", aside["event_id"], outbox=outbox, url=server.url)
    assert code == 1


def test_show_of_an_event_that_waits(server: ArgusServer, outbox: Path) -> None:
    run(TRAIN, outbox=outbox, url=None, ARGUS_OFFLINE="1")
    segment = next(outbox.rglob("*.seg"))
    line = next(x for x in segment.read_text().splitlines() if '"job_epoch"' in x)
    event_id = json.loads(line)["event_id"]
    code, out, _ = argus_tasks("outbox", "show", event_id, outbox=outbox)
    assert code == 0
    assert json.loads(out)["where"] == "waiting"


def test_send_needs_a_server(outbox: Path) -> None:
    code, _, err = argus_tasks("outbox", "send", outbox=outbox)
    assert code == 2
    assert "ARGUS_URL" in err


def test_an_empty_outbox(outbox: Path) -> None:
    code, out, _ = argus_tasks("outbox", outbox=outbox)
    assert code == 0
    assert out.startswith("no outbox")


def test_the_doctor(server: ArgusServer, outbox: Path) -> None:
    code, out, _ = argus_tasks("doctor", outbox=outbox, url=server.url)
    assert code == 0, out
    for words in (
        "argus-tasks 0.",
        "Python 3.",
        "answers and accepts the token",
        "clock",
        "outbox",
    ):
        assert words in out
    server.tokens = {"other"}
    code, out, _ = argus_tasks("doctor", outbox=outbox, url=server.url)
    assert code == 1
    assert "broken" in out
    assert "refuses the token" in out
    code, out, _ = argus_tasks("doctor", outbox=outbox, url="http://127.0.0.1:9")
    assert code == 1
    assert "does not answer" in out
    found = json.loads(argus_tasks("doctor", "--json", outbox=outbox)[1])
    assert {one["level"] for one in found} <= {"good", "warning"}
