"""Trackers that raise, hang or are slow: a log line, and nothing else."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from argus_tasks import sweep_flow
from argus_tasks.base.errors import BadInput
from argus_tasks.runs.context.run_context import MetricEvent
from argus_tasks.runs.context.tracker_supervision import SupervisedTracker
from argus_tasks.runs.context.trackers import build_trackers, check_specs
from argus_tasks.session.sweep_session import new_session
from tests.support.sessions import records, request_for, run_configs, run_session

METHODS = ("on_run_start", "on_metric", "on_run_end")


def train(ctx: Any) -> dict[str, Any]:
    for step in range(3):
        ctx.log_metric(step, {"loss": 1 / (step + 1)})
    return {"x": ctx.config["x"]}


class Odd:
    """Notes each call in a file; does what it is told in one of its methods."""

    def __init__(self, notes: str, method: str, what: str) -> None:
        self.notes, self.method, self.what = notes, method, what
        self.limit_s = 60.0

    def _called(self, method: str, ctx: Any) -> None:
        with Path(self.notes).open("a") as file:
            file.write(f"{method}\n")
        if self.what == "hang":  # from now on: how long the start takes says nothing
            self.limit_s = 0.3
        if method == self.method:
            if self.what == "hang":
                time.sleep(600)
            if self.what == "exit":
                raise SystemExit(3)
            raise ValueError("a tracker's trouble")

    def on_run_start(self, ctx: Any, meta: Any) -> None:
        self._called("on_run_start", ctx)

    def on_metric(self, ctx: Any, event: Any) -> None:
        self._called("on_metric", ctx)

    def on_run_end(self, ctx: Any, summary: Any) -> None:
        self._called("on_run_end", ctx)


def logs(root: Path) -> list[str]:
    """The runs' logs, in the order in which they ran."""
    found = sorted(records(root), key=lambda record: record["started_at"])
    assert [record["status"] for record in found] == ["succeeded"] * len(found)
    return [(record["dir"] / "run.log").read_text() for record in found]


@pytest.mark.parametrize(
    ("mode", "method"), [("process_pool", METHODS[1]), *[("sequential", name) for name in METHODS]]
)
def test_one_that_raises(mode: Any, method: str, results_root: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    run_configs(
        [{"x": 0}, {"x": 1}],
        train,
        results_root,
        mode=mode,
        workers=1,
        trackers=[Odd(str(notes), method, "exit" if method == "on_run_end" else "raise")],
    )
    assert notes.read_text().split() == [METHODS[0], *[METHODS[1]] * 3, METHODS[2]] * 2
    assert [log.count(f"Odd.{method} failed: ") for log in logs(results_root)] == [1, 1]


@pytest.mark.parametrize(
    "options",
    [{}, pytest.param({"fresh_process": True}, marks=pytest.mark.slow), {"mode": "sequential"}],
    ids=str,
)
def test_one_that_hangs_is_given_up(
    options: dict[str, Any], results_root: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    tracker = Odd(str(notes), "on_metric", "hang")
    configs = [{"x": 0}, {"x": 1}]
    run_configs(configs, train, results_root, workers=1, trackers=[tracker], **options)
    assert notes.read_text().split() == ["on_run_start", "on_metric"]
    first, second = logs(results_root)
    assert first.count("Odd is not called again: on_metric has not returned within 0.3 s") == 1
    assert second.count("Odd is not called in this run: it did not answer in time before") == 1
    assert len(list(results_root.glob("*/metrics.jsonl"))) == 2


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def context() -> tuple[Any, list[str]]:
    logger, kept = logging.Logger("run"), Kept()
    logger.addHandler(kept)
    return SimpleNamespace(run_id="r", logger=logger), kept.lines


EVENT = MetricEvent(0, "now", {"a": 1})


def test_making_one_may_take_longer_but_not_for_ever() -> None:
    ctx, lines = context()
    made = SupervisedTracker("late", lambda: time.sleep(600), 0.2)  # type: ignore[arg-type, return-value]
    made.on_run_start(ctx, None)  # type: ignore[arg-type]
    made.on_metric(ctx, EVENT)
    assert lines == ["late is not called again: made has not returned within 0.2 s"]

    def no_server() -> Any:
        raise ConnectionError("no server")

    ctx, lines = context()
    made = SupervisedTracker("gone", no_server)
    made.on_run_start(ctx, None)  # type: ignore[arg-type]
    made.on_metric(ctx, EVENT)
    assert lines == ["gone.made failed: ConnectionError('no server')"]


@pytest.mark.slow
def test_one_that_many_wait_for_is_not_taken_for_one_that_hangs() -> None:
    class Slow(Odd):
        def __init__(self) -> None:
            self.limit_s = 2.0

        def on_metric(self, ctx: Any, event: Any) -> None:
            assert self.free.acquire(blocking=False), "its calls come one after the other"
            time.sleep(0.3)
            called.append(threading.current_thread().name)
            self.free.release()

        free = threading.Lock()

    called: list[str] = []
    ctx, lines = context()
    tracker = SupervisedTracker("Slow", Slow)
    threads = [threading.Thread(target=tracker.on_metric, args=(ctx, EVENT)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines == []
    assert called == ["argus-Slow"] * 8


def test_one_that_logs_a_metric_itself() -> None:
    class Echo(Odd):
        def on_metric(self, ctx: Any, event: Any) -> None:
            if event.step < 3:
                tracker.on_metric(ctx, MetricEvent(event.step + 1, "now", {}))
            called.append(event.step)

    called: list[int] = []
    ctx, lines = context()
    tracker = SupervisedTracker("Echo", lambda: Echo("/dev/null", "", ""))
    tracker.on_metric(ctx, EVENT)
    assert (called, lines) == ([3, 2, 1, 0], [])


PLUGIN = """
from pathlib import Path

class Mine:
    def __init__(self, path, prefix="", *, missing=False):
        self.path, self.prefix = Path(path), prefix

    def on_run_start(self, ctx, meta): self._say("start", ctx)
    def on_metric(self, ctx, event): self._say(f"{event.step} {event.metrics}", ctx)
    def on_run_end(self, ctx, summary): self._say(summary["status"], ctx)

    def _say(self, text, ctx):
        with self.path.open("a") as file:
            file.write(f"{self.prefix}{ctx.config['x']} {text}\\n")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is installed, as far as Python can tell."""
    site = tmp_path / "site"
    (site / "plugin-1.dist-info").mkdir(parents=True)
    (site / "plugin-1.dist-info" / "METADATA").write_text("Name: plugin\nVersion: 1\n")
    (site / "plugin-1.dist-info" / "entry_points.txt").write_text(
        "[argus_tasks.trackers]\nmine = the_plugin:Mine\n"
    )
    (site / "the_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "the_plugin", raising=False)
    return site


@pytest.mark.usefixtures("plugin")
def test_one_of_an_installed_package_by_its_name(results_root: Path, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(
        "experiment: job:run\n"
        "grid: {x: [7]}\n"
        "trackers:\n"
        f"  - {{type: mine, kwargs: {{path: {tmp_path}/said, prefix: 'x='}}}}\n"
        "  - jsonl\n"
    )
    (tmp_path / "job.py").write_text(
        "def run(ctx):\n    ctx.log_metric(0, {'loss': 0.5})\n    return {'a': 1}\n"
    )
    run_session(new_session(request_for(tmp_path / "sweep.yaml", None, results_root)))  # type: ignore[arg-type]
    said = (tmp_path / "said").read_text().splitlines()
    assert said == ["x=7 start", "x=7 0 {'loss': 0.5}", "x=7 succeeded"]


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (7, r"trackers.0 is 7; expected"),
        ({"type": "mien"}, "tracker type 'mien' is not known; .* Did you mean 'mine'"),
        (
            {"type": "mine", "kwargs": [1]},
            r"trackers.0.kwargs is \[1\]; expected a mapping",
        ),
        ({"type": "mine"}, "tracker 'mine' cannot be made with them: missing a required argument"),
        (
            {"type": "mine", "kwargs": {"path": "a", "prefx": "b"}},
            "'mine' cannot be made with them: got an unexpected keyword argument 'prefx'",
        ),
    ],
)
def test_what_cannot_be_made_is_said_first(spec: Any, sentence: str, results_root: Path) -> None:
    with pytest.raises(BadInput, match=sentence):
        sweep_flow([{"x": 1}], train, results_root=results_root, tracker_specs=[spec])
    assert not results_root.exists()


def test_a_factory_says_what_it_needs(plugin: Path) -> None:
    (plugin / "the_plugin.py").write_text(
        PLUGIN
        + "    @staticmethod\n"
        + "    def check():\n"
        + "        from argus_tasks.base.extras import need\n"
        + "        need('mine', 'no_such_package')\n"
    )
    with pytest.raises(BadInput, match=r"type is 'mine', but .* pip install 'argus-tasks\[mine\]'"):
        check_specs([{"type": "mine", "kwargs": {"path": "a"}}])


def test_the_jsonl_one_is_not_supervised() -> None:
    (tracker,) = build_trackers([{"type": "JSONL", "kwargs": {"events_filename": "e"}}], None)
    assert type(tracker).__name__ == "JsonlTracker"
