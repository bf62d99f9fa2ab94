"""The values of a file, with the line of each, so that messages can point at what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Path: TypeAlias = "tuple[str | int, ...]"


MAX_DEPTH = 32
"""The deepest nesting of values, so that configs can be written as JSON."""

MAX_DIGITS = 300
"""The largest number of digits of a number, so that it can be converted to a float."""

MAX_REPEATED = 50_000
"""The largest number of values from aliases: a few lines of nested aliases can make billions."""

TOO_DEEP = f"the values are nested deeper than {MAX_DEPTH} levels."


@dataclass(frozen=True)
class Problem:
    """What is wrong at a path, as a sentence."""

    path: Path
    sentence: str


@dataclass(frozen=True)
class Document:
    """A file's values as plain mappings, lists and scalars.

    Attributes:
        value: the values.
        label: the file as the user named it; empty if there is none.
        lines: the line of each path, from 1.
        problems: what is already known to be wrong.
    """

    value: Any
    label: str = ""
    lines: Mapping[Path, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def line(self, path: Path) -> int:
        """The line of the path, or of the nearest path above it that has one; 0 if no lines are
        known."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def locate(self, path: Path) -> str:
        """`"sweep.yaml:7: "`, the beginning of a message about this path; empty if there is no
        file."""
        if not self.label:
            return ""
        line = self.line(path)
        return f"{self.label}:{line}: " if line else f"{self.label}: "


def dotted(path: Path) -> str:
    """The path as people write it: `include.0.lr`."""
    return ".".join(str(part) for part in path)
