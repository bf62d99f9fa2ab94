"""What the figures are to be. Each target names its figure; the unit says which way is better."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import RATIO, SHARE, Figure, meets, more_is_better, shown

FIRST = "first job over `import prefect`,"
REASONS = Path(__file__).parent / "reasons.toml"


@dataclass(frozen=True)
class Target:
    """A figure's name and unit, what it says, the target, and where there is one its aim."""

    figure: str
    unit: str
    words: str
    value: float
    aim: float | None = None


TARGETS = (
    Target(
        "overhead.1000.ztxexp.work", RATIO, "1,000 no-ops over ztxexp, last run ended", 1.5, 1.1
    ),
    Target("overhead.1000.ztxexp.caught_up", RATIO, "1,000, caught up and settled", 2.2, 1.5),
    Target("overhead.10000.ztxexp.caught_up", RATIO, "10,000, caught up and settled", 2.0, 1.35),
    Target(
        "overhead.1000.prefect-threads-best.work",
        RATIO,
        "1,000 no-ops over `task.map` on threads, best settings",
        1.6,
    ),
    Target(
        "overhead.1000.prefect-threads-docs.work",
        RATIO,
        "1,000 no-ops over `task.map` on threads, as its docs show it",
        0.7,
    ),
    Target(
        "overhead.1000.prefect-processes.work",
        RATIO,
        "1,000 no-ops over `task.map` on its process pool",
        0.06,
    ),
    Target(
        "overhead.1000.prefect-threads-best.server_cpu",
        RATIO,
        "the server's CPU for a task run, over `task.map`'s, best settings",
        0.5,
    ),
    Target(
        "overhead.1000.prefect-threads-docs.server_cpu",
        RATIO,
        "the server's CPU for a task run, over `task.map`'s, as its docs show it",
        0.5,
    ),
    Target("dynamic.first_to_last", RATIO, "60 no-ops in `dynamic` over ztxexp's", 0.025),
    Target("efficiency.0.2.ours", SHARE, "200 × 0.2 s of CPU work, of ideal", 0.95),
    Target("efficiency.2.ours", SHARE, "60 × 2 s of CPU work, of ideal", 0.98),
    Target("waiting.of_the_work", "%", "200 × 50 ms: back-pressure and settling, of the work", 5),
    Target("waiting.seconds", "s", "200 × 50 ms: back-pressure and settling", 1),
    Target("stopping.once", "s", "Ctrl-C to the prompt, default grace, nobody heeds it", 8),
    Target("stopping.twice", "s", "a second Ctrl-C to the prompt", 2),
    Target("stopping.heard", "s", "Ctrl-C to `ctx.stopped`", 1),
    Target("stopping.killed", "s", "a kill -9 of the sweep to the end of its last worker", 5),
    Target("control.ours.over_threshold", "%", "time over the CPU threshold", 10),
    Target("control.ours.over_ideal", "×", "`dynamic` under a load of others, over ideal", 1.15),
    Target("limit.efficiency", SHARE, "200 × 0.2 s at a limit on the server, of ideal", 0.95),
    Target("starting.ours, server running.over_import", RATIO, f"{FIRST} server running", 1.5),
    Target("starting.ours, embedded.over_import", RATIO, f"{FIRST} embedded server", 4.5, 4),
    Target("starting.ours, first ever.over_import", RATIO, f"{FIRST} the first ever", 12, 6),
    Target("starting.argus-tasks --help.prompt", "s", "`argus-tasks --help`", 0.3),
    Target("starting.argus-tasks plan.prompt", "s", "`argus-tasks plan`", 0.5),
    Target("starting.argus-tasks status.prompt", "s", "`argus-tasks status`", 0.5),
    Target("emit.burst", RATIO, "`epoch` over argus-reporter's, burst", 0.3333),
    Target("emit.paced", RATIO, "`epoch` over argus-reporter's, paced", 0.6667),
    Target("emit.burst.p99", "us", "`epoch`, burst, p99", 60),
    Target("emit.paced.p99", "us", "`epoch`, paced, p99", 60),
    Target("overhead.10000.peak", "MB", "memory of the flow's process, 10,000 configs", 400),
    Target("resume.10000.plan", "s", "deciding what is left of 10,000 runs, warm", 1),
    Target("resume.10000.plan, cold", "s", "deciding what is left of 10,000 runs, cold", 3),
    Target("resume.10000.results", "s", "results of 10,000 runs, warm", 2),
    Target("verdict.normal.alarms", "%", "verdict, A/A: false alarms", 5),
    Target("verdict.normal.alarms_at_most", "%", "verdict, A/A: upper end of the interval", 6),
    Target("verdict.normal.found_all", SHARE, "verdict, all of 12 cells 10 % worse: found", 0.95),
    Target("verdict.normal.found_one", SHARE, "verdict, one of 12 cells 10 % worse: named", 0.70),
)


@dataclass(frozen=True)
class Judged:
    """A target beside its figure; None where that has not been measured."""

    target: Target
    found: Figure | None

    @property
    def met(self) -> bool:
        """Measured, and at least as good."""
        return self.found is not None and meets(self.found, self.target.value)

    @property
    def words(self) -> str:
        """`not measured`, `met`, `met, aim too` or `not met`."""
        if self.found is None:
            return "not measured"
        if not self.met:
            return "**not met**"
        aim = self.target.aim
        return "met, aim too" if aim is not None and meets(self.found, aim) else "met"

    def value_shown(self) -> str:
        """Its figure with its spread."""
        if self.found is None:
            return "-"
        low, high = (shown(self.found[end], self.found["unit"]) for end in ("min", "max"))
        middle = shown(self.found["median"], self.found["unit"])
        return f"{middle} ({low} to {high})" if self.found["pairs"] > 1 else middle

    def target_shown(self) -> str:
        """The target, and the aim."""
        unit = self.target.unit
        aim = "" if self.target.aim is None else f", aim {shown(self.target.aim, unit)}"
        return f"{'≥' if more_is_better(unit) else '≤'} {shown(self.target.value, unit)}{aim}"


def judged(figures: Mapping[str, Figure]) -> list[Judged]:
    """Every target beside its figure."""
    return [Judged(target, figures.get(target.figure)) for target in TARGETS]


def reasons(path: Path = REASONS) -> dict[str, Any]:
    """What was written down by hand of targets that are not met: figure -> `reason`, `next`."""
    return tomllib.loads(path.read_text(encoding="utf-8"))
