"""Identifies the trial of a search that a config belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of an Optuna study.

    Attributes:
        study: the name of the study.
        number: the number of the trial, from 0.
    """

    study: str
    number: int

    @property
    def labels(self) -> dict[str, Any]:
        """What events and `meta.json` record of the trial."""
        return {"optuna": {"study_name": self.study, "trial_number": self.number}}
