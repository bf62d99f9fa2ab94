"""The peer's side: `python -m tests.contract.peer ROOT MODE` prints its summary as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import ztxexp

from tests.contract import experiments

CONFIGS: list[dict[str, Any]] = [
    {"kind": "ok", "seed": 3, "dataset_version": "v2"},
    {"kind": "none", "seed": "not a number"},
    {"kind": "value_error"},
    {"kind": "list"},
    {"kind": "skip"},
    {"kind": "flaky", "succeeds_at": 2},
]
METADATA: dict[str, Any] = {
    "experiment_name": "e",
    "group": "g",
    "tags": {"k": "v"},
    "parent_run_id": "p",
    "extras": {"x": 1},
}
OPTIONS: dict[str, Any] = {"max_attempts": 2, "retry_on": ("OSError",), "workers": 2}

if __name__ == "__main__":
    runner = ztxexp.ExpRunner(CONFIGS, sys.argv[1], experiments.for_ztxexp)
    summary = runner.run(mode=sys.argv[2], metadata=ztxexp.RunMetadata(**METADATA), **OPTIONS)
    print(json.dumps(asdict(summary)))
