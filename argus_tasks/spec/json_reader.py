"""Reads JSON, and remembers the line of each value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.document import MAX_DIGITS, Document, Path, Problem
from argus_tasks.spec.interpolation import fill_in_all

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:\n]|[^\s{}\[\],:"]+')


def read_json(text: str, label: str, environ: Mapping[str, str]) -> Document:
    """Parse JSON text. Raises BadInput if it is not JSON."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_int=_integer, parse_float=_float)
    except json.JSONDecodeError as error:
        raise BadInput(f"{label}:{error.lineno}: not JSON: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{label}: not JSON: {error}.") from None
    lines, problems = _lines(text)
    return Document(fill_in_all(value, environ, problems), label, lines, tuple(problems))


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not a JSON number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has {len(text):,} digits, expected at most {MAX_DIGITS}")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


@dataclass
class _Frame:
    path: Path
    is_list: bool
    index: int = 0
    key: str | None = None
    seen: set[str] = field(default_factory=set)

    def below(self) -> Path:
        return (*self.path, self.index if self.is_list else self.key or "")


def _lines(text: str) -> tuple[dict[Path, int], list[Problem]]:
    """The line of each path in a text that is known to be JSON, and a problem for each repeated
    key."""
    lines: dict[Path, int] = {}
    problems: list[Problem] = []
    stack: list[_Frame] = []
    line = 1
    for token in _TOKEN.findall(text):
        top = stack[-1] if stack else None
        if token == "\n":
            line += 1
        elif token in "]}":
            stack.pop()
        elif token == ",":
            assert top is not None
            top.index, top.key = top.index + 1, None
        elif token == ":":
            continue
        elif top is not None and not top.is_list and top.key is None:
            top.key = json.loads(token)
            path = top.below()
            if top.key in top.seen:
                sentence = f"the key '{top.key}' is given twice, first in line {lines[path]}."
                problems.append(Problem(path, sentence))
            top.seen.add(top.key or "")
            lines[path] = line
        else:
            path = top.below() if top else ()
            lines.setdefault(path, line)
            if token in "[{":
                stack.append(_Frame(path, token == "["))
    return lines, problems
