"""HTML by construction: what is put into a template is escaped, unless it is markup itself."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is HTML already. Only templates of this package become one."""

    __slots__ = ()


def fill(template: str, *values: object, **named: object) -> Markup:
    """The template (`str.format`) with the values escaped."""
    return Markup(
        template.format(
            *(_escaped(value) for value in values),
            **{name: _escaped(value) for name, value in named.items()},
        )
    )


def join(parts: Iterable[Markup], between: str = "") -> Markup:
    """The parts, one after the other."""
    return Markup(between.join(parts))


def _escaped(value: object) -> Markup:
    if isinstance(value, Markup):
        return value
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return Markup(escape("".join(map(_visible, text)), quote=True))


def _visible(letter: str) -> str:
    """The letter; a sign in place of one that HTML may not hold or that turns text round."""
    if letter in "\n\t":
        return letter
    code = ord(letter)
    hidden = code < 32 or 127 <= code < 160 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return "\ufffd" if hidden else letter
