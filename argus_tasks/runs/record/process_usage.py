"""The CPU time and memory that a run's processes used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """The usage of a process that has ended, with its child processes.

    Attributes:
        cpu_s: their CPU time together, in seconds.
        peak_mb: the peak memory of the largest of them, in megabytes.
    """

    cpu_s: float
    peak_mb: float
