"""The built-in JSONL tracker, and how trackers are made from `tracker_specs`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.errors import BadInput, MissingExtra, did_you_mean
from argus_tasks.base.files import append_line, dumps
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.runs.context.tracker_supervision import SupervisedTracker
from argus_tasks.runs.record.layout import EVENTS_JSONL

if TYPE_CHECKING:
    from argus_tasks.runs.context.run_context import MetricEvent, RunContext, Tracker
    from argus_tasks.runs.record.metadata import RunMetadata

ENTRY_POINTS = "argus_tasks.trackers"
JSONL = "jsonl"


class JsonlTracker:
    """Writes a run's start, metrics and end as JSON lines into its folder; every run has one.

    Examples:
        >>> from argus_tasks import ExpRunner, JsonlTracker
        >>> trackers = [JsonlTracker("my_events.jsonl")]
        >>> _ = ExpRunner([{"lr": 1}], "results", lambda ctx: None).run(trackers=trackers)
        >>> from pathlib import Path
        >>> (file,) = Path("results").glob("*/my_events.jsonl")
        >>> len(file.read_text().splitlines())
        2

    Args:
        events_filename: the file's name in the run folder.
    """

    def __init__(self, events_filename: str = EVENTS_JSONL) -> None:
        self.events_filename = events_filename

    def on_run_start(self, ctx: RunContext, meta: RunMetadata) -> None:
        """Write a `run_start` line.

        Args:
            ctx: the run.
            meta: the run's metadata.
        """
        self._write(ctx, "run_start", timestamp=utc_now_iso(), meta=meta.to_json())

    def on_metric(self, ctx: RunContext, event: MetricEvent) -> None:
        """Write a `metric` line.

        Args:
            ctx: the run.
            event: step, time and numbers.
        """
        self._write(ctx, "metric", payload=event.to_dict())

    def on_run_end(self, ctx: RunContext, summary: dict[str, object]) -> None:
        """Write a `run_end` line.

        Args:
            ctx: the run.
            summary: the run's status and error.
        """
        self._write(ctx, "run_end", timestamp=utc_now_iso(), summary=summary)

    def _write(self, ctx: RunContext, event: str, **fields: Any) -> None:
        line = to_jsonable({"event": event, "run_id": ctx.run_id, **fields})
        append_line(os.path.join(ctx.run_dir, self.events_filename), dumps(line))  # noqa: PTH118


def check_specs(specs: Sequence[Mapping[str, Any]] | None) -> None:
    """Raise BadInput for a tracker spec that cannot be built, before anything is started.

    A factory may have a method `check`, without arguments, that raises MissingExtra when a package
    that the tracker needs is not installed.
    """
    for index, spec in enumerate(specs or ()):
        key = f"tracker_specs[{index}]"
        if not isinstance(spec, Mapping) or not isinstance(spec.get("type"), str):
            raise BadInput(
                f"{key} is {spec!r}; expected a mapping such as"
                ' {"type": "jsonl", "kwargs": {}}.'
            )
        factory, given = _factory(spec["type"]), spec.get("kwargs") or {}
        if not isinstance(given, Mapping):
            raise BadInput(f"{key}.kwargs is {given!r}; expected a mapping.")
        try:
            inspect.signature(factory).bind(**given)
        except TypeError as error:
            raise BadInput(
                f"{key}.kwargs is {dict(given)!r}, but tracker '{spec['type']}' cannot be made with"
                f" them: {error}."
            ) from None
        check = getattr(factory, "check", None)
        try:
            if callable(check):
                check()
        except MissingExtra as error:
            raise BadInput(f"{key}.type is '{spec['type']}', but {error}") from None


def build_trackers(
    specs: Iterable[Mapping[str, Any]] | None, live: Iterable[Tracker] | None
) -> list[Tracker]:
    """The trackers of a process: the given objects first, and a JsonlTracker unless one was given.

    All but the JSONL trackers are supervised; those given by name are created when the first run
    starts.
    """
    built: list[Tracker] = [_supervised(tracker) for tracker in live or ()]
    for spec in specs or ():
        make = partial(_factory(str(spec["type"])), **dict(spec.get("kwargs") or {}))
        if spec["type"].lower() == JSONL:
            built.append(make())
        else:
            built.append(SupervisedTracker(str(spec["type"]), make))
    if not any(isinstance(tracker, JsonlTracker) for tracker in built):
        built.append(JsonlTracker())
    return built


def _supervised(tracker: Tracker) -> Tracker:
    if isinstance(tracker, JsonlTracker):
        return tracker
    return SupervisedTracker(type(tracker).__name__, lambda: tracker)


def _factory(name: str) -> Callable[..., Tracker]:
    if name.lower() == JSONL:
        return JsonlTracker
    from importlib.metadata import entry_points  # slow to import: a tenth of a worker's start

    known = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name.lower() not in known:
        raise BadInput(
            f"tracker type '{name}' is not known; expected one of"
            f" {', '.join(sorted([JSONL, *known]))}.{did_you_mean(name, [JSONL, *known])}"
        )
    factory: Callable[..., Tracker] = known[name.lower()].load()
    return factory
