"""`sub_env`: a text with the values of environment variables filled in."""

from __future__ import annotations

import os
import re
from typing import Any

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[^{}]+)\}|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))")


def sub_env(template: str, **extra: Any) -> str:
    """Replace `${VAR}` and `$VAR` in a text by the values of environment variables.

    Args:
        template: the text.
        extra: values by name; they win over the environment.

    Returns:
        The text. A variable that is not known stays as it was written.

    Examples:
        >>> from argus_tasks import sub_env
        >>> sub_env("runs/${STAGE}/$NO_SUCH_VARIABLE", STAGE="test")
        'runs/test/$NO_SUCH_VARIABLE'
    """

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["plain"]
        if name in extra:
            return str(extra[name])
        return os.environ.get(name, match[0])

    return _VARIABLE.sub(value, template)
