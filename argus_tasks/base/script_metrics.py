"""Metrics that reporters are given in a script of a sweep, for the run's own record.

They come back as lines of a file that the environment names, with and without a monitor.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from argus_tasks.base.files import append_line, dumps, read_json_lines
from argus_tasks.base.jsonable import to_jsonable

METRICS_FILE = "ARGUS_TASKS_NOTES"
"""Set for a script: the file."""


def record_metrics(metrics: dict[str, Any]) -> None:
    """Keep metrics for the run of this script, if it is one of a sweep. Errors: OSError."""
    path = os.environ.get(METRICS_FILE)
    if path:
        append_line(path, dumps(to_jsonable(metrics)))


def read_recorded_metrics(path: Path) -> dict[str, Any]:
    """What was noted, later values over earlier ones."""
    found: dict[str, Any] = {}
    for line in read_json_lines(path):
        if isinstance(line, dict):
            found |= line
    return found
