"""What becomes of results that other code has made: the option `on_code_change`."""

from __future__ import annotations

from typing import Literal, get_args

from argus_tasks.base.errors import BadInput, did_you_mean

OnCodeChange = Literal["warn", "rerun", "stop"]


def check_on_code_change(said: str) -> None:
    """Raise BadInput where there is no such word."""
    words = get_args(OnCodeChange)
    if said not in words:
        raise BadInput(
            f"on_code_change is '{said}'; expected one of {', '.join(words)}."
            f"{did_you_mean(said, words)}"
        )
