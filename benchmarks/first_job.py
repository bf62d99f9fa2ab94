"""A script with one job: `... NAME MARK ROOT`; the file MARK tells when it ran."""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.jobs import Given, mark


def ours(config: dict[str, Any], root: str) -> None:
    from argus_tasks import sweep_flow  # type: ignore[attr-defined,unused-ignore]

    sweep_flow([config], mark, results_root=root, workers=1)


def ztxexp(config: dict[str, Any], root: str) -> None:
    from ztxexp import ExpRunner

    ExpRunner([config], root, mark).run(mode="process_pool", workers=1)


def prefect(config: dict[str, Any], root: str) -> None:  # noqa: ARG001 - it leaves no folder
    from benchmarks.plain_prefect import one_job

    one_job(lambda: mark(Given(config)))


if __name__ == "__main__":
    name, path, folder = sys.argv[1:]
    {"ours": ours, "ztxexp": ztxexp, "prefect": prefect}[name]({"mark": path}, folder)
