"""`sub_env`: environment variables in a text."""

from __future__ import annotations

import os
import re
from typing import Any

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[^{}]+)\}|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))")


def sub_env(template: str, **extra: Any) -> str:
    """The text with `${VAR}` and `$VAR` replaced; an unknown variable stays as written.

    Args:
        template: the text.
        extra: values by name; they win over the environment's.
    """

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["plain"]
        if name in extra:
            return str(extra[name])
        return os.environ.get(name, match[0])

    return _VARIABLE.sub(value, template)
