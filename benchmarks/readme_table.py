"""The README's comparison, from the results; what no benchmark measures stands here in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Mapping[str, Any]]

HEAD = ("", "argus-tasks", "ztxexp", "Prefect `.map`", "joblib")
IN_WORDS = (
    ("the same command again", "runs what is missing", *["runs everything"] * 3),
    (
        "Ctrl-C",
        "runs say `Stopped`, and are resumed",
        "runs may say succeeded",
        "task runs may stay Running",
        "-",
    ),
    ("in Prefect's UI", "every config, by name", "-", "every task", "-"),
    ("run folders", "yes", "yes", "-", "-"),
)
_FAULTS = (("kill", "a worker is killed"), ("busy", "a run that never ends"))
_FAULT_PEERS = ("ours", "ztxexp-process_pool", "prefect-processes", "joblib")
CAUGHT_UP = "caught_up_ms"


def readme_table(results: Results) -> str:
    """The table, as Markdown; a row without results is left out."""
    rows = [*_fault_rows(results), *IN_WORDS, *_cost_rows(results), *_waiting_rows(results)]
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _fault_rows(results: Results) -> list[tuple[str, ...]]:
    rows = []
    if "faults" in results:
        measured = results["faults"]["measured"]
        for fault, words in _FAULTS:
            cells = [_fault_cell(measured[peer][fault]) for peer in _FAULT_PEERS]
            rows.append((words, *cells))
    return rows


def _fault_cell(found: Mapping[str, Any]) -> str:
    if found["hung"] == "hung":
        return "the call never returns"
    if found["returned_s"] is None and not found["raised"]:
        return "the caller dies"
    text = f"{found['neighbours']} of 9 others succeed"
    tenth = found["tenth"]
    return f"{text}; it is named `{tenth}`" if found["neighbours"] == 9 and tenth else text


def _cost_rows(results: Results) -> list[tuple[str, ...]]:
    if "overhead-1000" not in results:
        return []

    def of(peer: str, figure: str = "work_ms") -> str:
        file = "others-1000" if peer == "joblib-docs" else "overhead-1000"
        return _ms(results, file, peer, figure)

    best = "prefect-threads-best"
    prefect = f"{of(best)} on threads, {of('prefect-processes')} on its process pool"
    return [
        (
            "a config that does nothing, of 1,000",
            of("ours"),
            of("ztxexp"),
            prefect,
            of("joblib-docs"),
        ),
        ("with Prefect's server knowing it", of("ours", CAUGHT_UP), "-", of(best, CAUGHT_UP), "-"),
    ]


def _ms(results: Results, file: str, peer: str, figure: str) -> str:
    of = results.get(file, {}).get("contestants", {}).get(peer, {}).get("summary", {})
    return f"{of[figure]['median']:.1f} ms" if figure in of else "-"


def _waiting_rows(results: Results) -> list[tuple[str, ...]]:
    rows = []
    starting = results.get("starting", {}).get("figures", {})
    if starting:
        names = ("ours, server running", "ztxexp", "prefect, server running")
        cells = (f"{starting[f'starting.{name}.first_job']['median']:.1f} s" for name in names)
        rows.append(("a script's first job, server running", *cells, "-"))
    resume = results.get("resume", {}).get("figures", {})
    if resume:
        cells = (
            f"{resume[key]['median']:.2f} s"
            for key in ("resume.1000.plan", "resume.1000.plan, ztxexp")
        )
        rows.append(("deciding what is left of 1,000 finished", *cells, "-", "-"))
    return rows
