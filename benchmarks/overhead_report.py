"""The overhead benchmark's rounds as medians, ratios and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness import ratios, summary, table

# The columns of a round, all in milliseconds a config. `work`: start of the work to the end of the
# last run. `caught_up`: to the server knowing how all of them ended (where there is no server: to
# the return of the call). `exit`: to the end of the process. `cpu`: everybody's CPU, the server's
# too; the figure that other people's load disturbs least. `server_cpu`: the server's alone.
MEASURES = ("work", "caught_up", "exit", "cpu", "server_cpu")

# What ours over a peer's should be at most, at n = 1,000.
TARGETS = {
    ("prefect-threads-best", "server_cpu"): 0.5,
    ("prefect-threads-docs", "server_cpu"): 0.5,
    ("ztxexp", "work"): 1.5,
    ("ztxexp", "caught_up"): 2.2,
    ("prefect-threads-best", "work"): 1.6,
    ("prefect-threads-docs", "work"): 0.7,
    ("prefect-processes", "work"): 0.06,
}


def summaries(rounds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Each figure over the rounds; one that some round lacks is left out."""
    names = [name for name in (rounds[0] if rounds else {}) if name.endswith(("_ms", "_mb", "_s"))]
    columns = {name: [figures[name] for figures in rounds] for name in names}
    return {name: summary(column) for name, column in columns.items() if None not in column}


def ratios_to_ours(rounds: Mapping[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Ours over each peer's, by rounds; a figure that some round lacks is left out."""
    ours = rounds.get("ours", [])
    found: dict[str, dict[str, Any]] = {}
    for peer, theirs in rounds.items():
        if peer == "ours" or not ours or not theirs:
            continue
        found[peer] = {}
        for measure in MEASURES:
            mine = [figures[f"{measure}_ms"] for figures in ours]
            others = [figures[f"{measure}_ms"] for figures in theirs]
            if None in mine or None in others or not all(others):
                continue
            target = TARGETS.get((peer, measure))
            found[peer][measure] = {
                **ratios(mine, others),
                **({"target": target} if target else {}),
            }
    return found


HEAD = (
    "ms a config (medians)",
    "n",
    "last run ended",
    "min-max",
    "server caught up",
    "process ended",
    "CPU flow",
    "rest",
    "server",
    "peak MB",
    "recorded",
)


def report(result: Mapping[str, Any]) -> str:
    """The result for people: two tables."""
    rows = [_row(name, contestant) for name, contestant in result["contestants"].items()]
    text = table(HEAD, rows)
    words = {
        "work": "last run ended",
        "caught_up": "server caught up",
        "exit": "process ended",
        "cpu": "(CPU of all)",
        "server_cpu": "(CPU of the server)",
    }
    compared = [
        [
            f"ours / {peer}",
            words[measure],
            f"{of['median']:.2f}",
            f"{of['min']:.2f}-{of['max']:.2f}",
            f"{of['target']:g}" if "target" in of else "-",
        ]
        for peer, measures in result["ratios"].items()
        for measure, of in measures.items()
    ]
    if compared:
        head = ["ratio by rounds", "until", "median", "min-max", "target at n = 1000"]
        text += "\n\n" + table(head, compared)
    return text


def _row(name: str, contestant: Mapping[str, Any]) -> list[str]:
    if not contestant["rounds"]:
        return [name, *["-"] * (len(HEAD) - 2), "left out"]
    of, last = contestant["summary"], contestant["rounds"][-1]

    def median(figure: str) -> str:
        return f"{of[figure]['median']:.2f}" if figure in of else "never"

    sent = last["task_runs"]
    recorded = min(figures["recorded"] for figures in contestant["rounds"])
    return [
        name,
        str(last["n"]),
        median("work_ms"),
        f"{of['work_ms']['min']:.2f}-{of['work_ms']['max']:.2f}",
        median("caught_up_ms"),
        median("exit_ms"),
        median("flow_cpu_ms"),
        median("rest_cpu_ms"),
        median("server_cpu_ms") if sent else "-",
        f"{of['peak_mb']['max']:.0f}",
        f"{100 * recorded / sent:.0f} %" if sent else "-",
    ]


def complete(result: Mapping[str, Any]) -> bool:
    """True where every contestant ran, every run succeeded, and the server knows of them all."""
    return all(
        contestant["rounds"]
        and all(
            figures["succeeded"] == figures["n"] and figures["recorded"] == figures["task_runs"]
            for figures in contestant["rounds"]
        )
        for contestant in result["contestants"].values()
    )
