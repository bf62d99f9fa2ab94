"""What a process that did a run's work has used of the machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Of a process that has ended, and of those that it has waited for.

    Attributes:
        cpu_s: seconds of CPU time, of all of them together.
        peak_mb: the most memory that the largest of them has held, in MB.
    """

    cpu_s: float
    peak_mb: float
