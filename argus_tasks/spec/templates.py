"""Templates such as `"{model}-s{seed}"`: text with keys in braces, without any evaluation."""

from __future__ import annotations

import re
from collections.abc import Callable

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|([{}])")


def template_keys(template: str) -> list[str]:
    """The keys that the template names, in order."""
    return [match.group(1) for match in _PIECE.finditer(template) if match.group(1)]


def check_template(template: str) -> str:
    """Return the template. Raises ValueError if a brace has no partner."""
    if any(match.group(2) for match in _PIECE.finditer(template)):
        raise ValueError
    return template


def fill_template(template: str, text_of: Callable[[str], str]) -> str:
    """The template with each key replaced by its text; `{{` and `}}` become single braces."""

    def replace(match: re.Match[str]) -> str:
        key = match.group(1)
        return text_of(key) if key else match.group(0)[0]

    return _PIECE.sub(replace, template)
