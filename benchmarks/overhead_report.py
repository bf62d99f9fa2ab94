"""The overhead benchmark's rounds as medians, ratios and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.figures import Figures, figure, ratio_figure
from benchmarks.harness import summary, table

# The columns of a round, all in milliseconds a config. `work`: start of the work to the end of the
# last run. `caught_up`: to the server knowing how all of them ended (where there is no server: to
# the return of the call). `exit`: to the end of the process. `cpu`: everybody's CPU, the server's
# too; the figure that other people's load disturbs least. `server_cpu`: the server's alone.
MEASURES = ("work", "caught_up", "exit", "cpu", "server_cpu")


def summaries(rounds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Each figure over the rounds; one that some round lacks is left out."""
    names = [name for name in (rounds[0] if rounds else {}) if name.endswith(("_ms", "_mb", "_s"))]
    columns = {name: [figures[name] for figures in rounds] for name in names}
    return {name: summary(column) for name, column in columns.items() if None not in column}


def overhead_figures(rounds: Mapping[str, list[dict[str, Any]]], key: str) -> Figures:
    """Ours over each peer's, by turns, as `KEY.PEER.MEASURE`; what ours takes to the last run's
    end and until the server has caught up, in all, as `KEY.MEASURE_s`; and its memory.

    A figure that some round lacks is left out.
    """
    ours = {figures["turn"]: figures for figures in rounds.get("ours", [])}
    found: Figures = {}
    for peer, theirs in rounds.items():
        shared = [figures for figures in theirs if figures["turn"] in ours]
        if peer == "ours" or not shared:
            continue
        for measure in MEASURES:
            mine = [ours[figures["turn"]][f"{measure}_ms"] for figures in shared]
            others = [figures[f"{measure}_ms"] for figures in shared]
            if None not in mine and None not in others and all(others):
                found[f"{key}.{peer}.{measure}"] = ratio_figure(mine, others)
    if ours:
        peaks = [figures["peak_mb"] for figures in ours.values()]
        found[f"{key}.peak"] = figure(peaks, "MB")
        for measure in ("work", "caught_up"):
            each = [(one[f"{measure}_ms"], one["n"]) for one in ours.values()]
            if all(ms is not None for ms, _ in each):
                found[f"{key}.{measure}_s"] = figure((1e-3 * ms * n for ms, n in each), "s")
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
WORDS = {
    "work": "last run ended",
    "caught_up": "server caught up",
    "exit": "process ended",
    "cpu": "(CPU of all)",
    "server_cpu": "(CPU of the server)",
}


def report(result: Mapping[str, Any]) -> str:
    """The result for people: two tables."""
    text = table(HEAD, rows(result))
    compared = []
    for key, of in result["figures"].items():
        *_, peer, measure = key.split(".")
        if measure in WORDS:
            spread = f"{of['min']:.2f}-{of['max']:.2f}"
            words = [f"ours / {peer}", WORDS[measure], f"{of['median']:.2f}", spread]
            compared.append([*words, str(of["pairs"])])
    if compared:
        head = ["ratio by turns", "until", "median", "min-max", "pairs"]
        text += "\n\n" + table(head, compared)
    return text


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A row of HEAD for each contestant."""
    return [_row(name, contestant) for name, contestant in result["contestants"].items()]


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
