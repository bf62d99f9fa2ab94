"""Finds the places in a `/bin/sh` text where a quoted value would not stay a single word."""

from __future__ import annotations

import re

_KEY = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
_CASE = re.compile(r"\bcase\b")
_HERE_DOCUMENT = re.compile(r"<<(?!<)-?\s*['\"]?[\w.]")


def unsafe_key(text: str) -> tuple[str, str] | None:
    """Find the first key in braces whose quoted value the shell could split and execute.

    Returns:
        The key, and the construct that it stands in; None if there is no such key.
    """
    contexts = [""]  # the open constructs: a quote, `$(`, `$((`, a backtick
    at, end = 0, len(text)
    odd = ""  # a construct whose end is not searched for here, or differs between shells
    while at < end:
        char, inside = text[at], contexts[-1]
        key = _KEY.match(text, at)
        if key is not None:
            if key[1] is not None:
                place = odd or _place(contexts)
                if place:
                    return key[1], place
            at = key.end()
        elif inside in ("'", "$'"):
            if inside == "$'" and char == "\\":
                odd = "quotes"
            at += 1
            if char == "'":
                contexts.pop()
        elif char == "\\":
            key = _KEY.match(text, at + 1)
            if key is not None and key[1] is not None:
                return key[1], "a backslash"
            at += 2
        elif text.startswith("$((", at):
            contexts.append("$((")
            at += 3
        elif text.startswith("$(", at):
            if '"' in contexts and _CASE.search(text):
                odd = "quotes"
            contexts.append("$(")
            at += 2
        elif char == ")" and inside in ("$(", "$((", "("):
            contexts.pop()
            at += 2 if inside == "$((" and text.startswith("))", at) else 1
        elif char == "`":
            if inside == "`":
                contexts.pop()
            else:
                contexts.append("`")
            at += 1
        elif char == '"':
            if inside == '"':
                contexts.pop()
            else:
                contexts.append('"')
            at += 1
        elif inside == '"':
            at += 1
        elif char == "'":
            contexts.append("'")
            at += 1
        elif text.startswith("$'", at):
            contexts.append("$'")
            at += 2
        elif char == "(":
            contexts.append("(")
            at += 1
        elif char == "#" and (at == 0 or text[at - 1] in " \t\n;&|("):
            at = text.find("\n", at) if "\n" in text[at:] else end
        else:
            if char == "<" and _HERE_DOCUMENT.match(text, at):
                odd = "a here-document"  # the shell expands its lines, quoted or not
            at += 1
    return None


def _place(contexts: list[str]) -> str:
    """The construct that makes a value unsafe here; empty if quoting protects it."""
    if "`" in contexts:
        return "backticks"
    if "$((" in contexts:
        return "arithmetic"
    return {"'": "quotes", '"': "quotes", "$'": "quotes"}.get(contexts[-1], "")
