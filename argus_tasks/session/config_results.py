"""What the configs of one session have come to so far."""

from __future__ import annotations

from argus_tasks.runs.record.causes import OUT_OF_MEMORY
from argus_tasks.runs.record.run_record import RunKey
from argus_tasks.workers.attempts.messages import Outcome


class ConfigResults:
    """Outcomes by a config's index in the plan; safe to read while attempts end.

    Attributes:
        keys: which run each config has become.
        outcomes: how each one's last attempt ended.
        forgiven: the configs of which one try does not count.
    """

    def __init__(self) -> None:
        self.keys: dict[int, RunKey] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.forgiven: set[int] = set()

    def run_dir(self, index: int) -> str | None:
        """The config's run folder, once it has one."""
        key = self.keys.get(index)
        return key.run_dir if key else None

    def ran_out_of_memory(self, index: int) -> bool:
        """True where the config's last attempt did; its next one gets the machine alone."""
        last = self.outcomes.get(index)
        return last is not None and last.ending.cause == OUT_OF_MEMORY
