"""A hook: a place where a sweep relies on an undocumented part of Prefect, SQLAlchemy or httpx.

Each says what it gains and what happens without it. Before it is used it is probed: where the
foreign library is not as we know it, the hook stands back, everything works without it, and
`argus-tasks doctor` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hook:
    """The description of a hook.

    Attributes:
        name: what it is called in messages.
        does: what it does.
        without: what happens where it stands back.
        gain: what it was measured to gain, and when.
        proven: the versions of Prefect that it was seen active with.
        probe: raises, or returns the reason, where the foreign library is not as we know it; None
            where it is. It changes nothing.
    """

    name: str
    does: str
    without: str
    gain: str
    proven: str
    probe: Callable[[], str | None]

    def stands_back(self) -> str | None:
        """Why the hook is not used with the installed versions; None where it is used."""
        try:
            return self.probe()
        except Exception as error:  # noqa: BLE001 - any change there may raise anything
            return f"{type(error).__name__}: {error}"


PROVEN = "3.6.22 to 3.9.1"
