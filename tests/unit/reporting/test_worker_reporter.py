"""A flow with a sender, and workers that only append: one batch, each job's order kept."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from argus_tasks import Reporter, emit, get_batch_id
from argus_tasks.delivery.link import Emitter
from argus_tasks.delivery.segment_places import Ref
from argus_tasks.reporting.child_processes import current_emitter
from argus_tasks.reporting.sinks import wire_job_id
from argus_tasks.reporting.worker_reporter import (
    JoinContext,
    WorkerEmitter,
    close_writers,
    join_run,
)
from tests.argus_server import ArgusServer, Faults
from tests.support.delivery import HEAD, assert_accounts_meet, environment, epochs_of

QUIET: dict[str, Any] = {"heartbeat": False, "stop_polling": False, "resource_snapshot": False}

WORKER = """
import json
from argus_tasks.reporting.worker_reporter import JoinContext, join_run
for text in sys.stdin:
    with join_run(JoinContext.from_json(json.loads(text))) as worker:
        with Reporter("mine", **QUIET) as r, r.job("whatever") as j:
            for e in range(300):
                j.epoch(e, train_loss=0.1)
            j.log("from the worker")
            emit("job_epoch", epoch=300)
            j.metrics({"acc": 0.9})
    print(json.dumps({"last": worker.last, "metrics": worker.metrics}), flush=True)
heavy = {"httpx", "prefect", "pydantic", "psutil"} & set(sys.modules)
assert not heavy, heavy
import threading
assert threading.active_count() == 1
"""


def join_context(reporter: Reporter, name: str, after: Ref | None) -> JoinContext | None:
    return reporter.batch.join_context(name, after) if reporter.batch is not None else None


def opened(reporter: Reporter) -> Ref | None:
    return reporter.batch.opened if reporter.batch is not None else None


def start_worker(outbox: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + WORKER],
        env=environment(outbox, "http://127.0.0.1:9"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_in(worker: subprocess.Popen[str], context: JoinContext) -> dict[str, Any]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps(context.to_json()) + "\n")
    worker.stdin.flush()
    return dict(json.loads(worker.stdout.readline()))


def run_job(r: Reporter, worker: subprocess.Popen[str], name: str) -> None:
    """What the sweep's flow does for one run."""
    job_id = wire_job_id(r.batch_id, name)
    r.job_opened(job_id)
    begun = r.sink.emit("job_start", job_id, {"model": "m"})
    context = join_context(r, name, begun)
    assert context is not None
    outcome = run_in(worker, context)
    after = [Ref.parse(outcome["last"])]
    r.sink.emit("job_done", job_id, {"metrics": outcome["metrics"]}, after=after)
    r.job_closed(job_id, failed=False)


def test_workers_join_the_flows_batch_and_jobs(server: ArgusServer, outbox: Path) -> None:
    server.faults = Faults(status=503, times=2)
    workers = [start_worker(outbox) for _ in range(2)]
    with Reporter(batch_id="sweep-1", n_total=6, **QUIET) as r:
        threads = [
            threading.Thread(
                target=lambda n=n: [run_job(r, workers[n], f"run{n}{i}") for i in range(3)]
            )
            for n in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.close()
            assert worker.wait(10) == 0
            assert worker.stdout is not None
            worker.stdout.close()
    rows = server.rows("sweep-1")
    assert {row["batch_id"] for row in server.rows()} == {"sweep-1"}
    kinds = [row["event_type"] for row in rows]
    assert (kinds.count("batch_start"), kinds.count("batch_done")) == (1, 1)
    for name in [f"run{n}{i}" for n in range(2) for i in range(3)]:
        mine = [row for row in rows if (row["job_id"] or "")[:-7] == name]
        assert mine[0]["event_type"] == "job_start"
        assert mine[-1]["event_type"] == "job_done"
        assert mine[-1]["data"]["metrics"] == {"acc": 0.9}
        assert epochs_of(mine) == list(range(301))
        assert [row["event_type"] for row in mine].count("log_line") == 1
    assert server.batch("sweep-1")["end"]["n_done"] == 6
    account = assert_accounts_meet(outbox)[0]
    assert account.delivered == account.emitted == len(rows)


def test_a_killed_workers_events_arrive_before_the_end(server: ArgusServer, outbox: Path) -> None:
    worker = start_worker(outbox)
    with Reporter(batch_id="sweep-1", **QUIET) as r:
        job_id = wire_job_id(r.batch_id, "run")
        begun = r.sink.emit("job_start", job_id, {})
        context = join_context(r, "run", begun)
        assert context is not None
        outcome = run_in(worker, context)
        worker.kill()
        worker.communicate()
        r.sink.emit("job_failed", job_id, {}, after=[Ref.parse(outcome["last"])])
    kinds = [row["event_type"] for row in server.rows("sweep-1") if row["job_id"] == job_id]
    assert kinds == ["job_start", *["job_epoch"] * 300, "log_line", "job_epoch", "job_failed"]


def test_a_run_that_emits_nothing_leaves_no_reference(server: ArgusServer) -> None:
    with Reporter(batch_id="s", **QUIET) as r:
        context = join_context(r, "run", opened(r))
        assert context is not None
        with join_run(context) as worker:
            assert worker.last is None
        r.sink.emit("job_start", "x", {})
        close_writers()
    assert server.batch("s")["status"] == "done"


def test_joined_runs_on_threads_know_their_own(server: ArgusServer) -> None:
    with Reporter(batch_id="s", **QUIET) as r:

        def work(name: str) -> None:
            context = join_context(r, name, opened(r))
            assert context is not None
            with join_run(context), Reporter("inner", **QUIET) as inner, inner.job("z") as j:
                barrier.wait()
                assert inner.batch_id == get_batch_id() == "s"
                for epoch in range(50):
                    j.epoch(epoch)
                    emit("log_line", line=name)

        barrier = threading.Barrier(3)
        threads = [threading.Thread(target=work, args=(f"run{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert current_emitter() is None
        close_writers()
    for n in range(3):
        mine = [row for row in server.rows("s") if (row["job_id"] or "")[:-7] == f"run{n}"]
        assert epochs_of(mine) == list(range(50))
        lines = [row["data"]["line"] for row in mine if row["event_type"] == "log_line"]
        assert lines == [f"run{n}"] * 50


def test_runs_on_threads_do_not_wait_for_each_other(server: ArgusServer) -> None:
    """The end of one names the place behind what another has to wait for."""
    with Reporter(batch_id="s", **QUIET) as r, ExitStack() as stack:

        def begin(name: str) -> WorkerEmitter:
            begun = r.sink.emit("job_start", wire_job_id(r.batch_id, name), {})
            context = join_context(r, name, begun)
            assert context is not None
            return stack.enter_context(join_run(context))

        def end(name: str, worker: WorkerEmitter) -> None:
            assert worker.last is not None
            r.sink.emit(
                "job_done", wire_job_id(r.batch_id, name), {}, after=[Ref.parse(worker.last)]
            )

        b = begin("b")
        b.epoch(0, {"train_loss": 1.0})
        a = begin("a")
        end("b", b)
        c = begin("c")
        c.epoch(0, {"train_loss": 1.0})
        a.epoch(0, {"train_loss": 1.0})
        end("a", a)
        end("c", c)
        close_writers()
    for name in "abc":
        mine = [row for row in server.rows("s") if (row["job_id"] or "")[:-7] == name]
        kinds = [row["event_type"] for row in mine]
        assert kinds == ["job_start", "job_epoch", "job_done"]
    assert server.batch("s")["status"] == "done"


def test_many_runs_on_many_threads_are_all_delivered(server: ArgusServer, outbox: Path) -> None:
    """As `mode: thread` does it: all of them append to one chain."""
    runs, threads = 120, 8
    with Reporter(batch_id="s", **QUIET) as r:

        def work(name: str) -> None:
            begun = r.sink.emit("job_start", wire_job_id(r.batch_id, name), {})
            context = join_context(r, name, begun)
            assert context is not None
            with join_run(context) as worker:
                for epoch in range(3):
                    worker.epoch(epoch, {"train_loss": 1.0})
            assert worker.last is not None
            r.sink.emit(
                "job_done", wire_job_id(r.batch_id, name), {}, after=[Ref.parse(worker.last)]
            )

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, [f"run{n}" for n in range(runs)]))
        close_writers()
    assert server.batch("s")["status"] == "done"
    for n in range(runs):
        mine = [row for row in server.rows("s") if (row["job_id"] or "")[:-7] == f"run{n}"]
        kinds = [row["event_type"] for row in mine]
        assert kinds == ["job_start", *["job_epoch"] * 3, "job_done"]
    assert assert_accounts_meet(outbox)[0].unordered == 0


def test_stop_reaches_the_joined_reporter(server: ArgusServer) -> None:
    stop = threading.Event()
    with Reporter(batch_id="s", **QUIET) as r:
        assert isinstance(r.sink, Emitter)
        context = join_context(r, "run", opened(r))
        assert context is not None
        with join_run(context, stop.is_set), Reporter(**QUIET) as inner, inner.job("z") as j:
            assert not j.stopped
            stop.set()
            assert j.stopped
            assert inner.stopped
        close_writers()


def test_nothing_to_join_where_nothing_is_emitted() -> None:
    with Reporter(batch_id="s", **QUIET) as r:
        assert join_context(r, "run", None) is None
