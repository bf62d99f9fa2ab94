"""Metrics that a script of a sweep gives to its reporters, for the run's record.

The script's process appends them to a file whose path is in an environment variable, with a monitor
or without one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from argus_tasks.base.files import append_line, dumps, read_json_lines
from argus_tasks.base.jsonable import to_jsonable

METRICS_FILE = "ARGUS_TASKS_NOTES"
"""The environment variable with the file's path."""


def record_metrics(metrics: dict[str, Any]) -> None:
    """Record metrics, if this process is a script of a sweep. Errors: OSError."""
    path = os.environ.get(METRICS_FILE)
    if path:
        append_line(path, dumps(to_jsonable(metrics)))


def read_recorded_metrics(path: Path) -> dict[str, Any]:
    """The recorded metrics; a later value of a name replaces an earlier one."""
    found: dict[str, Any] = {}
    for line in read_json_lines(path):
        if isinstance(line, dict):
            found |= line
    return found
