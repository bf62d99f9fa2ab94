"""Replaces `${NAME}` in the values of a sweep file by environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from argus_tasks.spec.document import MAX_DEPTH, TOO_DEEP, Path, Problem

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*+)(\}|\Z)")


def fill_in(text: str, environ: Mapping[str, str], path: Path, problems: list[Problem]) -> str:
    """The text with `${NAME}` replaced, and `$${` as `${`; an unknown name is added to
    `problems`."""

    def replace(match: re.Match[str]) -> str:
        name, end = match.groups()
        if name is None:
            return "${"
        if not end:
            return match.group(0)
        if name not in environ:
            problems.append(
                Problem(
                    path,
                    f"the environment variable {name!r} of ${{{name}}} is not set; "
                    "set it, or write $${ for a plain ${.",
                )
            )
            return match.group(0)
        return environ[name]

    return _REFERENCE.sub(replace, text)


def fill_in_all(
    value: Any, environ: Mapping[str, str], problems: list[Problem], path: Path = ()
) -> Any:
    """A copy of the value in which `fill_in` was applied to every text. Keys are not changed."""
    if isinstance(value, str):
        return fill_in(value, environ, path, problems) if "${" in value else value
    if isinstance(value, Mapping | list | tuple) and len(path) > MAX_DEPTH:
        problems.append(Problem(path, TOO_DEEP))
        return None
    if isinstance(value, Mapping):
        return {
            key: fill_in_all(item, environ, problems, (*path, key)) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            fill_in_all(item, environ, problems, (*path, index)) for index, item in enumerate(value)
        ]
    return value
