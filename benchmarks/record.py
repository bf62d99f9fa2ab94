"""The committed record of the benchmarks: of each, what the pages and the accepted figures need.

Every single reading stays in the ignored folder `build/bench`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from argus_tasks.base.files import read_json, write_text_whole
from benchmarks.harness import ROOT

RECORD = ROOT / "benchmarks" / "record.json"
READINGS = ROOT / "build" / "bench"

_KEPT = ("started_at", "figures", "life_ms", "settings", "measured")
_OF_THE_MACHINE = ("cpu", "cores_usable", "python", "load_before")
_SUMMARY = {
    "work_ms": ("min", "median", "max"),
    "caught_up_ms": ("median",),
    "exit_ms": ("median",),
    "flow_cpu_ms": ("median",),
    "rest_cpu_ms": ("median",),
    "server_cpu_ms": ("median",),
    "peak_mb": ("max",),
}
"""What a row of the page shows of a contestant."""


def load_readings(folder: Path) -> dict[str, dict[str, Any]]:
    """Each benchmark's whole results, by the name of its file."""
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}


def load_record(path: Path = RECORD) -> dict[str, dict[str, Any]]:
    """What has been kept of each benchmark, by its name."""
    found: dict[str, dict[str, Any]] = read_json(path) if path.exists() else {}
    return found


def update_record(results: Mapping[str, Mapping[str, Any]], path: Path = RECORD) -> None:
    """Put these results in the record; benchmarks that are not among them stay as they were."""
    kept = {**load_record(path), **{name: reduced(of) for name, of in results.items()}}
    write_text_whole(path, _text(dict(sorted(kept.items()))) + "\n")


def reduced(result: Mapping[str, Any]) -> dict[str, Any]:
    """A benchmark's results without its single readings."""
    kept = {key: result[key] for key in _KEPT if key in result}
    kept["machine"] = {key: result["machine"].get(key) for key in _OF_THE_MACHINE}
    kept["versions"] = result["versions"]
    if result.get("benchmark") == "overhead":
        kept["options"] = {"n": result["options"]["n"]}
        kept["contestants"] = {name: _contestant(of) for name, of in result["contestants"].items()}
    return kept


def _contestant(of: Mapping[str, Any]) -> dict[str, Any]:
    rounds, summary = of["rounds"], of.get("summary", {})
    last = [{key: rounds[-1][key] for key in ("n", "task_runs")}] if rounds else []
    for one in last:
        one["recorded"] = min(each["recorded"] for each in rounds)
    shown = {
        key: {name: summary[key][name] for name in names}
        for key, names in _SUMMARY.items()
        if key in summary
    }
    return {"settings": of["settings"], "rounds": last, "summary": shown}


def _text(value: Any, indent: str = "") -> str:
    """JSON with a line for each figure: a mapping without mappings in it is written as one."""
    if not isinstance(value, dict) or not any(isinstance(one, dict) for one in value.values()):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + " "
    parts = [f"{inner}{json.dumps(key)}: {_text(one, inner)}" for key, one in value.items()]
    return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
