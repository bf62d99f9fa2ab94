"""Files on their way: behind the job's events, never in the way, never lost in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from argus_tasks import Reporter
from argus_tasks.delivery.outbox_folder import outboxes
from tests.argus_server import ArgusServer, Faults
from tests.support.delivery import run, send_rest

QUIET: dict[str, Any] = {"heartbeat": False, "stop_polling": False, "resource_snapshot": False}


def test_an_upload_right_after_the_start(server: ArgusServer, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG" + b"x" * 100_000)
    with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
        assert j.upload(picture) == 1
    assert [one["name"] for one in server.artifacts] == ["a.png"]
    assert server.artifacts[0]["id"] == j.job_id
    assert server.artifacts[0]["content"] == picture.read_bytes()
    routes = [one.route for one in server.receipts]
    assert routes.index("/api/events/batch") < routes.index(f"/api/jobs/{j.job_id}/artifacts")


def test_folders_kinds_and_counts(server: ArgusServer, tmp_path: Path) -> None:
    folder = tmp_path / "plots" / "deep"
    folder.mkdir(parents=True)
    for name in ("a.png", "b.PNG", "c.jpg", "d.jpeg", "e.pdf", "f.svg", "g.txt", "h.npy"):
        (folder / name).write_text(name)
    with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
        assert j.upload(tmp_path / "plots") == 1
        assert j.upload(tmp_path / "plots", glob="**/*") == 6
        assert j.upload(folder / "g.txt") == 0
        assert j.upload(tmp_path / "nowhere") == 0
        assert j.upload(str(folder / "e.pdf")) == 1
    assert len(server.artifacts) == 8


def test_auto_upload_to_the_batch_or_its_last_job(server: ArgusServer, tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    folder.mkdir()
    (folder / "a.svg").write_text("<svg/>")
    with Reporter(batch_id="one", auto_upload_dirs=[folder], **QUIET) as r:
        with r.job("first"):
            pass
        with r.job("last") as last:
            pass
    assert [(one["owner"], one["id"], one["label"]) for one in server.artifacts] == [
        ("jobs", last.job_id, "batch")
    ]
    server.batch_artifacts = True
    with Reporter(batch_id="two", auto_upload_dirs=[str(folder)], **QUIET):
        pass
    assert server.artifacts[-1]["owner"] == "batches"
    with pytest.raises(RuntimeError), Reporter(auto_upload_dirs=folder, **QUIET):
        raise RuntimeError("not a clean exit")
    assert len(server.artifacts) == 2


def test_a_file_that_vanishes_or_changes_before_its_turn(
    server: ArgusServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone, changed, fine = (tmp_path / f"{name}.png" for name in ("gone", "changed", "fine"))
    for file in (gone, changed, fine):
        file.write_text("old")
    server.faults = Faults(status=503)
    with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
        assert sum(j.upload(file) for file in (gone, changed, fine)) == 3
        gone.unlink()
        changed.write_text("new content")
        server.heal()
    assert [one["name"] for one in server.artifacts] == ["changed.png", "fine.png"]
    assert server.artifacts[0]["content"] == b"new content"
    assert server.artifacts[0]["meta"]["changed_before_upload"] is True
    assert "changed before its upload" in caplog.text
    assert "gone.png was not uploaded" in caplog.text
    assert [one["upload"]["path"] for one in outboxes()[0].set_aside.all()] == [str(gone)]
    assert server.batch("b")["status"] == "done"


def test_what_is_too_large_is_set_aside(
    server: ArgusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.argus_server.MAX_FILE", 1000)
    for name, size in (("big", 2000), ("small", 10)):
        (tmp_path / f"{name}.png").write_bytes(b"x" * size)
    with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
        assert j.upload(tmp_path, glob="*.png") == 2
    assert [one["name"] for one in server.artifacts] == ["small.png"]
    assert [one["status"] for one in outboxes()[0].set_aside.all()] == [413]


def test_uploads_are_tried_again_and_do_not_hold_up_events(
    server: ArgusServer, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_text("x")
    server.faults = Faults(status=502, only="artifacts", times=3)
    with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
        j.upload(tmp_path / "a.png")
        j.epoch(1)
        assert server.wait_for(lambda one: bool(one.rows("b", "job_epoch")))
    assert len(server.artifacts) == 1


def test_uploads_survive_a_restart(server: ArgusServer, tmp_path: Path, outbox: Path) -> None:
    (tmp_path / "a.png").write_text("x")
    code, _, err = run(
        f"""
        with Reporter("t", batch_id="b", **QUIET) as r, r.job("j") as j:
            j.upload({str(tmp_path / "a.png")!r})
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        outbox=outbox,
        url=server.url,
    )
    assert code == -9, err
    send_rest(outbox, server.url)
    assert [one["name"] for one in server.artifacts] == ["a.png"]
    assert outboxes()[0].set_aside.all() == []


def test_a_slow_upload_does_not_keep_the_process(server: ArgusServer, tmp_path: Path) -> None:
    """An upload that is never answered: with its patience at 5 s the process ends long before it
    would by the request's own limit."""
    (tmp_path / "a.png").write_text("x")
    server.faults = Faults(black_hole=True, only="artifacts")
    code, _, err = run(
        f"""
        with Reporter("t", batch_id="b", **QUIET) as r, r.job("j") as j:
            j.upload({str(tmp_path / "a.png")!r})
        """,
        outbox=tmp_path / "outbox",
        url=server.url,
        ARGUS_DRAIN_DEADLINE_S="5",
    )
    assert code == 0, err
    assert server.artifacts == []
    assert server.batch("b")["status"] == "done", "events do not wait for uploads"
    server.heal()
    send_rest(tmp_path / "outbox", server.url)
    assert [one["name"] for one in server.artifacts] == ["a.png"]
