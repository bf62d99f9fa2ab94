"""What the trackers of other tools record of a run: its name, its config, its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argus_tasks.base.files import dumps, read_mapping
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.nested import flatten
from argus_tasks.base.redact import known_secrets, redact_value
from argus_tasks.integrations.numbers import number
from argus_tasks.runs.context.run_context import MetricEvent, RunContext, curve_name
from argus_tasks.runs.record.layout import METRICS_JSON, SUCCEEDED
from argus_tasks.runs.record.run_record import record_of

_SPLITS = {"valid": "val", "validation": "val"}


def name_of(ctx: RunContext) -> tuple[str, str]:
    """The run's readable name and its batch id; if unknown, the run id and an empty text."""
    record = record_of(str(ctx.run_dir)) or {}
    return str(record.get("job_id") or ctx.run_id), str(record.get("batch_id") or "")


def shown(value: Mapping[str, Any]) -> dict[str, Any]:
    """A config or tags as JSON without secrets."""
    plain: dict[str, Any] = redact_value(to_jsonable(value), known_secrets())
    return plain


def texts_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The config's values by dotted key, each as a text, without secrets."""
    plain = flatten(shown(config))
    nonfinite: dict[str, str] = {}
    to_jsonable(config, nonfinite)
    plain |= {key: text for key, text in nonfinite.items() if key in plain}
    return {key: value if isinstance(value, str) else dumps(value) for key, value in plain.items()}


def points_of(event: MetricEvent) -> dict[str, float]:
    """The numbers of a metric event, with the names that the monitor uses: `train_loss`."""
    split = _SPLITS.get(event.split, event.split)
    return {curve_name(key, split): value for key, value in numbers_of(event.metrics).items()}


def results_of(ctx: RunContext, summary: Mapping[str, object]) -> dict[str, float]:
    """The numbers of the run's `metrics.json`; empty where the run has not succeeded."""
    if summary.get("status") != SUCCEEDED:
        return {}
    return numbers_of(read_mapping(ctx.run_dir / METRICS_JSON))


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers, by dotted key."""
    found = {key: number(value) for key, value in flatten(metrics).items()}
    return {key: value for key, value in found.items() if value is not None}
