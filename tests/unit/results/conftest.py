"""Run folders made by hand, with the keys that our runs and those of other tools have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`make_run(config, metrics, **run)` writes a folder under tmp_path; each a second later."""
    made = 0

    def make(config: dict[str, Any], metrics: dict[str, Any] | None = None, **run: Any) -> Path:
        nonlocal made
        made += 1
        run_id = f"20260101_0000{made:02d}_{made:08x}"
        folder = tmp_path / run_id
        folder.mkdir()
        values = {
            "schema_version": 2,
            "run_id": run_id,
            "status": "succeeded",
            "started_at": f"2026-01-01T00:00:{made:02d}.000000+00:00",
            "finished_at": f"2026-01-01T00:01:{made:02d}.000000+00:00",
            "duration_sec": 60.0,
            "error_type": None,
            "error_message": None,
            "attempt": 1,
            **run,
        }
        (folder / "run.json").write_text(json.dumps(values, indent=2))
        (folder / "config.json").write_text(json.dumps(config, indent=2))
        if metrics is not None:
            (folder / "metrics.json").write_text(json.dumps(metrics, indent=2))
        return folder

    return make
