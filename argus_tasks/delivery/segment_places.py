"""References to places in segments, and directives: the lines of a segment that are no events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from argus_tasks.delivery.checked_json import seal


class Ref(NamedTuple):
    """A place in a segment. An event with this reference waits until all before it is delivered."""

    segment: str
    offset: int

    def __str__(self) -> str:
        return f"{self.segment}:{self.offset}"

    @property
    def chain(self) -> str:
        """The chain that the segment belongs to."""
        return chain_of(self.segment)

    @classmethod
    def parse(cls, text: str) -> Ref:
        """The inverse of `str`. Errors: ValueError."""
        segment, _, offset = text.rpartition(":")
        if not segment:
            raise ValueError(f"this is not a reference to a segment: {text!r}")
        return cls(segment, int(offset))


def chain_of(segment: str) -> str:
    """The chain that a segment belongs to."""
    return segment.rsplit(".", 1)[0]


def directive(value: dict[str, Any]) -> bytes:
    """A directive as one line."""
    return b"#" + seal(value) + b"\n"


def after_directive(refs: Iterable[Ref]) -> bytes:
    """The directive that names the places that must be delivered before what follows."""
    return directive({"after": [str(ref) for ref in refs]})
