"""Changes of a text that cannot change what it does."""

from __future__ import annotations

import ast

UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError, SystemError)
"""What Python's parser raises; a SystemError, where threads parse at the same time."""


def is_cosmetic(name: str, before: bytes, after: bytes) -> bool:
    """Whether two contents of a file differ by line ends only, or, of Python, by what is not in
    the syntax tree: comments and layout. Docstrings are in it."""
    if _same_ends(before) == _same_ends(after):
        return not _is_binary(before)
    if not name.endswith((".py", ".pyw")):
        return False
    try:
        return ast.dump(ast.parse(before)) == ast.dump(ast.parse(after))
    except UNPARSABLE:
        return False


def _same_ends(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _is_binary(content: bytes) -> bool:
    return b"\0" in content
