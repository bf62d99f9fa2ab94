"""The reporter as user code sees it, against a real loopback server."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import argus_tasks
from argus_tasks import (
    BadInput,
    Reporter,
    SkipRun,
    derive_batch_id,
    emit,
    get_batch_id,
    new_batch_id,
    set_batch_id,
    sub_env,
)
from argus_tasks.base.ids import job_suffix
from argus_tasks.delivery.outbox_folder import outboxes
from argus_tasks.reporting import active
from argus_tasks.reporting.sinks import wire_job_id
from tests.argus_server import ArgusServer, Faults
from tests.event_model import EventModel

QUIET: dict[str, Any] = {"heartbeat": False, "stop_polling": False, "resource_snapshot": False}


def kinds(server: ArgusServer, batch_id: str) -> list[str]:
    found = [row["event_type"] for row in server.rows(batch_id)]
    return [kind for kind in found if kind != "env_snapshot"]


def test_a_batch_from_start_to_end(server: ArgusServer) -> None:
    with Reporter(
        "bench",
        experiment_type="forecast",
        source_project="wheat",
        command="train.py --token abc",
        n_total=2,
        **QUIET,
    ) as r:
        with r.job("one", model="m", dataset="d") as j:
            j.epoch(0, train_loss=1.0, val_loss=2, lr=0.1, batch_time_ms=3.5, acc=0.5)
            j.log("hello", level="WARNING")
            j.metrics({"mse": 0.1})
            j.metrics({"mae": 0.2, "mse": 0.3})
        assert get_batch_id() == r.batch_id
        assert server.wait_for(lambda one: bool(one.rows(r.batch_id, "env_snapshot")))
    assert kinds(server, r.batch_id) == [
        "batch_start",
        "job_start",
        "job_epoch",
        "log_line",
        "job_done",
        "batch_done",
    ]
    for row in server.rows():
        EventModel.model_validate(row)
        assert row["source"]["project"] == "wheat"
    batch, job = server.batch(r.batch_id), server.job(f"one-{job_suffix(r.batch_id)}")
    assert batch["start"] == {
        "experiment_type": "forecast",
        "n_total_jobs": 2,
        "command": "train.py --token ***",
    }
    assert batch["end"]["n_done"] == 1
    assert batch["end"]["total_elapsed_s"] > 0
    assert batch["env"]["command"] == "train.py --token ***"
    assert any(name.startswith("httpx==") for name in batch["env"]["pip_freeze"])
    assert job["extra"] == {"model": "m", "dataset": "d"}
    assert job["status"] == "done"
    assert job["end"]["metrics"] == {"mse": 0.3, "mae": 0.2}
    assert job["end"]["train_epochs"] == 1
    epoch, line = server.rows(None, "job_epoch")[0], server.rows(None, "log_line")[0]
    assert epoch["data"] == {
        "epoch": 0,
        "train_loss": 1.0,
        "val_loss": 2,
        "lr": 0.1,
        "batch_time_ms": 3.5,
        "acc": 0.5,
    }
    assert line["data"] == {"line": "hello", "level": "warning"}
    assert get_batch_id() is None


def test_an_exception_fails_job_and_batch_and_passes_on(server: ArgusServer) -> None:
    with pytest.raises(ValueError, match="no good"):  # noqa: PT012, SIM117
        with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
            j.epoch(0)
            raise ValueError("no good, password=hunter22")
    end = server.batch("b")["end"]
    assert server.batch("b")["status"] == "failed"
    assert end["reason"] == "ValueError: no good, password=***"
    job = next(iter(server.jobs("b").values()))
    assert job["status"] == "failed"
    assert "Traceback" in job["end"]["error"]
    assert "hunter22" not in str(server.rows())


def test_one_failed_job_that_is_caught_leaves_the_batch_done(server: ArgusServer) -> None:
    with Reporter(batch_id="b", **QUIET) as r:
        with pytest.raises(RuntimeError), r.job("bad"):
            raise RuntimeError("x")
        with r.job("good"):
            pass
        with pytest.raises(SkipRun), r.job("skipped"):
            raise SkipRun("nothing to do")
    batch = server.batch("b")
    assert (batch["end"]["n_done"], batch["end"]["n_failed"]) == (2, 1)
    status = {key[:-7]: job["status"] for key, job in server.jobs("b").items()}
    assert status == {"bad": "failed", "good": "done", "skipped": "skipped"}


@pytest.mark.parametrize(("code", "status"), [(0, "done"), (None, "done"), (3, "failed")])
def test_sys_exit(server: ArgusServer, code: int | None, status: str) -> None:
    with pytest.raises(SystemExit), Reporter(batch_id="b", **QUIET) as r, r.job("j"):
        sys.exit(code)
    assert server.batch("b")["status"] == status
    assert next(iter(server.jobs("b").values()))["status"] == status


def test_which_batch_id_wins(server: ArgusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Reporter(batch_id="a", resume_from="b").batch_id == "a"
    assert Reporter("p", resume_from="b").batch_id == "b"
    assert Reporter("p").batch_id.startswith("p-")
    assert len(Reporter("p").batch_id) == 2 + 12
    monkeypatch.setattr(active, "_batch_id", [])
    set_batch_id("mine")
    assert get_batch_id() == "mine"
    assert Reporter("p").batch_id == "mine"


def test_resuming_sends_batch_start_again_after_what_was_left(
    server: ArgusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first session left on disk goes before the second's."""
    server.faults = Faults(status=503)
    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "0.1")
    with pytest.raises(KeyError):  # noqa: PT012, SIM117
        with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
            j.epoch(0)
            raise KeyError("cut")
    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "5")
    server.heal()
    with Reporter(resume_from="b", **QUIET) as r, r.job("j") as j:
        j.epoch(1)
        assert server.wait_for(lambda one: bool(one.rows("b", "env_snapshot")))
    found = kinds(server, "b")
    assert found[:5] == ["batch_start", "job_start", "job_epoch", "job_failed", "batch_failed"]
    assert found[5:] == ["batch_start", "job_start", "job_epoch", "job_done", "batch_done"]
    assert [row["event_type"] for row in server.rows("b")].count("env_snapshot") == 1
    assert server.batch("b")["status"] == "done"


def test_the_second_session_names_the_end_of_the_first(
    server: ArgusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order must not rest on how the files are called."""
    server.faults = Faults(status=503)
    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "0.1")
    for _ in range(2):
        with Reporter(batch_id="b", **QUIET):
            pass
    box = outboxes()[0]
    texts = {name: Path(box.segment_path(name)).read_text() for name in box.segments()}
    naming = [name for name, text in texts.items() if '#{"after":' in text]
    assert len(texts) == 2
    assert len(naming) == 1
    (other,) = set(texts) - set(naming)
    assert f'#{{"after":["{other}:{len(texts[other])}"],' in texts[naming[0]]


def test_resuming_a_done_batch_warns_once(
    server: ArgusServer, caplog: pytest.LogCaptureFixture
) -> None:
    with Reporter(batch_id="b", **QUIET):
        pass
    with caplog.at_level(logging.WARNING, "argus_tasks"), Reporter(resume_from="b", **QUIET):
        pass
    assert len([one for one in caplog.records if "is done" in one.message]) == 1


def test_emit_from_any_thread_and_without_a_reporter(server: ArgusServer) -> None:
    emit("log_line", line="nobody hears it")
    with Reporter(batch_id="b", **QUIET) as r, r.job("j"):
        thread = threading.Thread(target=lambda: emit("log_line", line="from a thread"))
        thread.start()
        thread.join()
        emit("resource_snapshot", gpu_util_pct=3)
        emit("job_epoch", job_id="other", epoch=1)
        emit("my own event", answer=42)
    with Reporter(batch_id="b", **QUIET) as r, r.job("j"):
        r.emit("job_epoch", epoch="odd", x=object())
    lines = server.rows("b", "log_line")
    assert [row["data"]["line"] for row in lines] == ["from a thread", "my own event"]
    assert lines[1]["data"]["answer"] == 42
    epochs = server.rows("b", "job_epoch")
    assert [row["job_id"][:-7] for row in epochs] == ["other", "j"]


def test_heartbeat_and_snapshots(server: ArgusServer) -> None:
    often = QUIET | {"heartbeat": 0.1, "resource_snapshot": 0.1}
    with Reporter(batch_id="b", **often) as r, r.job("j"):
        assert server.wait_for(
            lambda one: (
                len(one.rows("b", "resource_snapshot")) > 1 and len(one.rows("b", "log_line")) > 2
            )
        )
    beat = server.rows("b", "log_line")[-1]
    assert beat["data"] == {"line": "heartbeat", "level": "debug"}
    data = server.rows("b", "resource_snapshot")[-1]["data"]
    for name in ("cpu_util_pct", "ram_mb", "ram_total_mb", "disk_free_mb", "disk_total_mb"):
        assert data[name] >= 0
    assert data["proc_ram_mb"] > 10
    assert data["proc_cpu_pct"] >= 0


@pytest.mark.parametrize("name", ["heartbeat", "stop_polling", "resource_snapshot"])
@pytest.mark.parametrize("value", [-1, float("nan"), "often", float("inf")])
def test_intervals_that_are_none(name: str, value: Any) -> None:
    with pytest.raises(BadInput, match=name):
        Reporter(**{name: value})


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "nonsense"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(BadInput, match="monitor_url"):
        Reporter(monitor_url=url)


def test_job_ids_are_unique_across_batches(server: ArgusServer) -> None:
    for batch in ("x-aaaaaabbbbbb", "x-aaaaaacccccc"):
        with Reporter(batch_id=batch, **QUIET) as r, r.job("same") as j:
            assert j.job_id == f"same-{batch[-6:]}"
            assert wire_job_id(r.batch_id, j.job_id) == j.job_id
    with Reporter(batch_id="b" * 200, **QUIET) as r, r.job("j" * 400) as j:
        j.epoch(0)
    assert len(r.batch_id) == 128
    assert len(j.job_id) == 256
    assert server.rows(r.batch_id, "job_epoch")[0]["job_id"] == j.job_id


def test_identities() -> None:
    import hashlib

    digest = hashlib.sha256(b"p|e|abc").hexdigest()[:16]
    assert derive_batch_id("p", "e", "abc") == f"bench-{digest}"
    assert derive_batch_id("p", "e", "abc", prefix="x") == f"x-{digest}"
    none = hashlib.sha256(b"p|e|no-git").hexdigest()[:16]
    assert derive_batch_id("p", "e", "") == f"bench-{none}"
    assert derive_batch_id("p", "e") == f"bench-{none}", "this folder is in no repository"
    assert new_batch_id("a") != new_batch_id("a")


def test_the_default_sha_is_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "repo"
    place.mkdir()
    monkeypatch.chdir(place)
    for words in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *words], check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    sha = done.stdout.strip()
    assert derive_batch_id("p", "e") == derive_batch_id("p", "e", sha)


def test_sub_env(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_B", "x")
    assert sub_env("${A_B}/$A_B/${NOPE}/$NOPE/$", A=1) == "x/x/${NOPE}/$NOPE/$"
    assert sub_env("$A-${A}", A=1) == "1-1"


def test_an_environment_that_somebody_else_gathers_may_come_after_the_end(
    server: ArgusServer,
) -> None:
    gathered = threading.Event()
    reporter = Reporter(batch_id="b", **QUIET)
    reporter.options.environment = lambda: {"python_version": "3"} if gathered.wait(60) else {}
    reporter.__enter__()
    active.pop(reporter)
    reporter.end(None)
    assert server.wait_for(lambda one: one.batch("b").get("status") == "done")
    assert not server.rows("b", "env_snapshot")
    gathered.set()
    reporter.leave(30)
    assert server.batch("b")["env"] == {"python_version": "3"}
    assert server.batch("b")["status"] == "done"


def test_leaving_is_quick_with_a_healthy_server(
    server: ArgusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "60")
    with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
        for epoch in range(100):
            j.epoch(epoch)
        assert server.wait_for(lambda one: bool(one.rows("b", "env_snapshot")))
        began = time.monotonic()
    assert time.monotonic() - began < 20
    assert server.batch("b")["status"] == "done"
    assert [box.segments() for box in outboxes()] == [[]]


def test_no_thread_is_left_behind(server: ArgusServer) -> None:
    before = set(threading.enumerate())  # other tests of this process hang some on purpose
    with Reporter(batch_id="b", heartbeat=0.1, stop_polling=0.1, resource_snapshot=0.1):
        server.wait_for(lambda one: len(one.rows("b", "log_line")) > 1)
        assert [t for t in set(threading.enumerate()) - before if "argus" in t.name]

    def left() -> list[str]:
        return [t.name for t in set(threading.enumerate()) - before if "argus" in t.name]

    server.wait_for(lambda _: not left())
    assert not left()


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, argus_tasks; argus_tasks.Reporter; r = argus_tasks.Reporter('x');"
        "heavy = {'prefect', 'pydantic', 'httpx', 'yaml', 'psutil', 'numpy', 'fastapi'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_public_names_are_there() -> None:
    for name in argus_tasks.__all__:
        assert getattr(argus_tasks, name) is not None
    assert argus_tasks.SCHEMA_VERSION == "1.1"


def test_a_broken_outbox_folder_costs_nothing_but_the_events(
    server: ArgusServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ARGUS_TASKS_RAISE")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(tmp_path / "file"))
    with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
        j.epoch(0)
        assert j.upload("x") == 0
        assert not j.stopped
    assert server.rows() == []


def test_the_outbox_is_removed_while_it_is_used(
    server: ArgusServer, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.delenv("ARGUS_TASKS_RAISE")
    monkeypatch.setenv("ARGUS_DRAIN_DEADLINE_S", "0.5")
    with Reporter(batch_id="b", **QUIET) as r, r.job("j") as j:
        j.epoch(0)
        shutil.rmtree(outbox, ignore_errors=True)
        for epoch in range(1, 50):
            j.epoch(epoch)
