"""Which trial of a search a config is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of an Optuna study.

    Attributes:
        study: the study's name.
        number: the trial's number there, from 0.
    """

    study: str
    number: int

    @property
    def labels(self) -> dict[str, Any]:
        """What the monitor and `meta.json` say of it."""
        return {"optuna": {"study_name": self.study, "trial_number": self.number}}
