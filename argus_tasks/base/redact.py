"""Secrets out of texts: before anything is written, logged or sent."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Sequence
from typing import Any

MASK = "***"

_SECRET_WORDS = frozenset({"token", "secret", "password", "passwd", "passphrase", "pwd"})
_SECRET_WORDS |= {"apikey", "credential", "credentials", "authorization"}
_KEY_PREFIXES = frozenset({"api", "access", "private", "secret", "auth", "account", "signing"})

_URL_LOGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@'\"]+@")
_SHAPES = re.compile(
    r"em_(?:live|test)_[A-Za-z0-9_-]+|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|AKIA[0-9A-Z]{16}|glpat-[A-Za-z0-9_-]{16,}|pypi-[A-Za-z0-9_-]{40,}"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{8,}")
_ASSIGNED = re.compile(
    r"(?P<name>(?<![A-Za-z0-9_.-])-{0,2}[A-Za-z][A-Za-z0-9_.-]*)"
    r"(?P<mark>['\"]?\s?[=:](?!//)\s?)(?P<value>'[^']*'|\"[^\"]*\"|[^\s'\",;&]+)"
)
_FLAG = re.compile(r"(?P<flag>(?<!\S)--?[A-Za-z][A-Za-z0-9_-]*)(?P<gap>\s+)(?P<value>(?!-)\S+)")
_WORD_BREAK = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_SHORTEST_SECRET = 6
_LOOK_UP_S = 0.2
_looked_up: tuple[float, tuple[str, ...]] = (-1.0, ())
_HINT = re.compile(
    r"(?i)[=:@]|token|secret|pass|pwd|bearer|basic|em_|sk-|AKIA|gh[pousr]_|github_pat_|hf_|-"
)


def names_a_secret(name: str) -> bool:
    """Whether a flag, variable or key is named like a secret (`--token`, `WANDB_API_KEY`); words
    that only contain one (`tokenizer`, `max_tokens`, `keyword`) are none."""
    words = [word.lower() for word in _WORD_BREAK.split(name) if word]
    if _SECRET_WORDS.intersection(words):
        return True
    if not words or words[-1] != "key":
        return False
    return name.isupper() or (len(words) > 1 and words[-2] in _KEY_PREFIXES)


def known_secrets() -> tuple[str, ...]:
    """The values of this process's environment variables that are named like secrets; looked up
    anew after a fifth of a second."""
    global _looked_up
    now = time.monotonic()
    if now >= _looked_up[0] + _LOOK_UP_S:
        _looked_up = (now, _secrets_of_environment())
    return _looked_up[1]


def _secrets_of_environment() -> tuple[str, ...]:
    values = {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_SECRET and names_a_secret(name) and not os.path.exists(value)  # noqa: PTH110
    }
    return tuple(sorted(values, key=len, reverse=True))


def without_login(url: str) -> str:
    """The URL without user name and password."""
    return _URL_LOGIN.sub(r"\g<scheme>", url)


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """The text without what looks like a secret, and without the given values."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    if not _HINT.search(text):
        return text
    text = _URL_LOGIN.sub(rf"\g<scheme>{MASK}@", text)
    text = _SHAPES.sub(MASK, text)
    text = _BEARER.sub(rf"\1\2{MASK}", text)
    text = _ASSIGNED.sub(_mask_assigned, text)
    return _FLAG.sub(_mask_flag, text)


def redact_command(words: Sequence[str], secrets: Sequence[str] | None = None) -> str:
    """A command's words as one line for a shell, without its secrets."""
    known = known_secrets() if secrets is None else secrets
    shown: list[str] = []
    after_secret_flag = False
    for word in words:
        if after_secret_flag and not word.startswith("--"):
            shown.append(MASK)
            after_secret_flag = False
            continue
        name, mark, _value = word.partition("=")
        after_secret_flag = word.startswith("-") and not mark and names_a_secret(word)
        if mark and names_a_secret(name):
            shown.append(f"{name}={MASK}")
        else:
            clean = redact(word, known)
            shown.append(clean if clean != word else shlex.quote(word))
    return " ".join(shown)


def redact_value(value: Any, secrets: Sequence[str] = ()) -> Any:
    """JSON (see `base.jsonable`) with every text redacted, and what is kept under a secret's name
    masked."""
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {
            key: MASK
            if isinstance(item, str) and item and names_a_secret(key)
            else redact_value(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [redact_value(item, secrets) for item in value]
    return value


def _mask_assigned(match: re.Match[str]) -> str:
    if not names_a_secret(match["name"].lstrip("-")):
        # What stands behind may be one: `login: token=x`.
        return match["name"] + match["mark"] + _ASSIGNED.sub(_mask_assigned, match["value"])
    return f"{match['name']}{match['mark']}{MASK}"


def _mask_flag(match: re.Match[str]) -> str:
    if not names_a_secret(match["flag"]):
        return match[0]
    return f"{match['flag']}{match['gap']}{MASK}"
