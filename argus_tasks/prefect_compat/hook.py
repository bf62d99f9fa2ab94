"""A hook: a place where a sweep relies on an undocumented part of Prefect, SQLAlchemy or httpx.

Each says what it gains and what happens without it. Before it is used it is probed: where the
foreign library is not as we know it, the hook stands back, everything works without it, and
`argus-tasks doctor` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache


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
        """Why the hook is not used in this process; None where it is used. It is decided once: a
        hook may be asked for each run, and its probe may cost more than the hook saves."""
        return _decision(self)

    def examine(self) -> str | None:
        """Why it cannot be used with the installed versions as they are now; None where it can."""
        try:
            return self.probe()
        except Exception as error:  # noqa: BLE001 - any change there may raise anything
            return f"{type(error).__name__}: {error}"


@cache
def _decision(hook: Hook) -> str | None:
    return hook.examine()


PROVEN = "3.6.22 to 3.9.1"
