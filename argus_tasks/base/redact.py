"""Mask secrets in texts before they are written, logged or sent. See SECURITY.md.

Every pattern is possessive or starts at a word, so that the time is proportional to the length of
the text.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from argus_tasks.base.secret_names import LONGEST_NAME, names_a_secret

MASK = "***"

SHORTEST_SECRET = 8
"""A value with the name of a secret is masked everywhere if it has at least this length."""

# A text without any of these holds no secret.
_HINT = re.compile(
    r"(?i)tok|secret|pass|pwd|key|auth|cred|cookie|jwt|bearer|basic|signature|://|-----"
    r"|eyJ|em_|sk-|_live_|gh[pousr]_|github_pat_|hf_|xox|A[KS]IA|glpat-|pypi-|npm_|AIza|curl|wget|mysql|mariadb"
)
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:em_(?:live|test)_[A-Za-z0-9_-]++|gh[pousr]_[A-Za-z0-9]{20,}+"
    r"|github_pat_\w{20,}+|hf_[A-Za-z0-9]{20,}+|sk-[A-Za-z0-9]{20,}+|[rs]k_live_[A-Za-z0-9]{16,}+"
    r"|sk-(?:proj|ant|or|svcacct|admin)-[A-Za-z0-9_-]{16,}+|xox[abeprs]-[A-Za-z0-9-]{10,}+"
    r"|A[KS]IA[0-9A-Z]{16}+|glpat-[A-Za-z0-9_-]{16,}+|pypi-[A-Za-z0-9_-]{40,}+"
    r"|npm_[A-Za-z0-9]{30,}+|AIza[A-Za-z0-9_-]{35})"
    r"|(?<![A-Za-z0-9_.-])eyJ[A-Za-z0-9_-]{6,}+\.[A-Za-z0-9_-]{6,}+(?:\.[A-Za-z0-9_-]*+)?"
)
_LOGIN = re.compile(r"(?<=://)[^/\s'\"<>]*+")
_SCHEME = re.compile(r"\b(bearer|basic)(\s++|%20)([A-Za-z0-9._~+/=-]{8,}+)", re.IGNORECASE)
_PEM = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]{0,30}PRIVATE KEY-----")
_NAME = re.compile(
    r"(?<![A-Za-z0-9_.-])(?P<dash>-{0,2}+)(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*+)"
    r"(?:(?P<mark>\\?['\"]?[ \t]{0,8}+(?:=>|[:]?=|:(?!//))[ \t]{0,8}+)"
    r"|(?P<next>\\?['\"]\s?,\s{0,8}+)|(?P<gap>[ \t]++))?"
)
_VALUE = re.compile(
    r"b?\\\"(?:(?!\\\").)*+(?:\\\")?|b?\"(?:[^\"\\]|\\.)*+\"?|b?'(?:[^'\\]|\\.)*+'?"
    r"|(?:(?:bearer|basic|token|digest|negotiate|apikey)\s++)?[^\s'\",;&)\]}]++",
    re.IGNORECASE | re.DOTALL,
)
# YAML's own way to write a list, a mapping or a long text: indented in the lines below.
_BLOCK = re.compile(r"(?:[|>][+-]?\d?)?[ \t]*+\r?\n")
_INDENT = re.compile(r"[ \t+-]*+")
_OPENED = {"[": "]", "(": ")", "{": "}"}
_BRACKET = re.compile(r"[][(){}]")
_HARMLESS = re.compile(
    r"[+-]?(?:\d{1,3}|\d*\.\d+(?:e[+-]?\d+)?)%?|true|false|none|null|yes|no|value|\*+",
    re.IGNORECASE,
)
_SQL_CLIENT = re.compile(r"\b(?:mysql|mariadb)[a-z-]{0,12}+|\bsshpass\b")
_SQL_PASSWORD = re.compile(r"(?<=[\s'\"])-p(?=[^\s'\"])[^\s'\",]++")
_SSHPASS = re.compile(r"\bsshpass(\s++|['\"],\s?['\"])-p(\s++|['\"],\s?['\"])[^\s'\",]++")
_FETCHER = re.compile(r"\b(?:curl|wget)\b[^\n]*+")
_LOGIN_FLAG = re.compile(
    r"(?<=[\s'\"])(-u|--user|--proxy-user)(\s++|=|['\"],\s?['\"])([^\s'\":]++):[^\s'\"]++"
)

_AT_A_CUT = 4096
"""The longest secret that is masked whole where a text is cut, in characters: a private key."""
_FIRST_SECRET_NUMBER = 1000
_LOOK_UP_S = 0.2
_looked_up: tuple[float, tuple[str, ...]] = (-1.0, ())


def known_secrets() -> tuple[str, ...]:
    """The values of this process's environment variables with names of secrets; looked up again
    after 0.2 s."""
    global _looked_up
    now = time.monotonic()
    if now >= _looked_up[0] + _LOOK_UP_S:
        _looked_up = (now, _secrets_of_environment())
    return _looked_up[1]


def _secrets_of_environment() -> tuple[str, ...]:
    return _spellings(
        value
        for name, value in os.environ.items()
        if len(value) >= SHORTEST_SECRET and names_a_secret(name) and not os.path.exists(value)  # noqa: PTH110
    )


def secrets_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The secrets that no text about a run of this config may show: the config's texts under names
    of secrets, and the `known_secrets`."""
    return known_secrets() + _spellings(_under_secret_names(config, secret=False))


def _under_secret_names(value: Any, *, secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _under_secret_names(item, secret=secret or names_a_secret(str(key)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _under_secret_names(item, secret=secret)
    elif secret and isinstance(value, str) and len(value) >= SHORTEST_SECRET:
        yield value


def _spellings(values: Iterator[str]) -> tuple[str, ...]:
    """The values as they are, and as written in URLs and in quotes; the longest first."""
    found: set[str] = set()
    for value in values:
        found |= {value, quote(value, safe=""), repr(value)[1:-1], json.dumps(value)[1:-1]}
    return tuple(sorted(found, key=len, reverse=True))


def without_login(url: str) -> str:
    """The URL without user name and password."""
    return _LOGIN.sub(lambda match: match[0].rpartition("@")[2], url)


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """Mask the secrets in a text.

    Args:
        text: the text.
        secrets: values that are masked as well.

    Returns:
        The text with `***` in place of each secret.
    """
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    if not _HINT.search(text):
        return text
    if "-----" in text:
        text = _without_keys(text)
    text = _LOGIN.sub(_mask_login, text)
    text = _SHAPES.sub(MASK, text)
    text = _SCHEME.sub(_mask_scheme, text)
    if "sshpass" in text:
        text = _SSHPASS.sub(rf"sshpass\1-p\2{MASK}", text)
    if _SQL_CLIENT.search(text):
        text = "\n".join(map(_of_sql_client, text.split("\n")))
    text = _FETCHER.sub(lambda match: _LOGIN_FLAG.sub(rf"\1\2\3:{MASK}", match[0]), text)
    return _without_pairs(text)


def redact_cut(text: str, longest: int, secrets: Sequence[str] = ()) -> str:
    """Mask the secrets in a text, and cut out its middle if it is longer than `longest` characters.
    A secret at a cut is masked whole."""
    if len(text) <= longest:
        return redact(text, secrets)
    half = longest // 2
    head = redact(text[: half + _AT_A_CUT], secrets)[:-_AT_A_CUT][:half]
    tail = redact(text[-half - _AT_A_CUT :], secrets)[_AT_A_CUT:][-half:]
    return f"{head} [... {len(text) - longest} characters ...] {tail}"


def redact_command(words: Sequence[str], secrets: Sequence[str] | None = None) -> str:
    """The words of a command as one line for a shell, with its secrets masked."""
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
    return redact(" ".join(shown))


def redact_value(value: Any, secrets: Sequence[str] = ()) -> Any:
    """Mask the secrets in JSON: in every text, and every value under the name of a secret, except
    numbers of up to three digits, fractions, true, false and null."""
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {
            _key(key): _masked(item) if names_a_secret(key) else redact_value(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [redact_value(item, secrets) for item in value]
    return value


def holds_secrets(value: Any) -> bool:
    """Whether `redact_value` would mask anything in this JSON."""
    return bool(redact_value(value, known_secrets()) != value)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, str):
        return value if not value or _HARMLESS.fullmatch(value) else MASK
    return MASK if isinstance(value, int) and abs(value) >= _FIRST_SECRET_NUMBER else value


def _key(key: str) -> str:
    """A key with the secrets in its text masked (those of a URL, or an assignment)."""
    return _short_key(key) if len(key) <= LONGEST_NAME else redact(key)


@lru_cache(maxsize=4096)
def _short_key(key: str) -> str:
    return redact(key)


def _without_keys(text: str) -> str:
    """Mask private keys; one that is cut off is masked from the text's beginning or to its end."""
    parts: list[str] = []
    at = 0
    inside = False
    for match in _PEM.finditer(text):
        if match[1] == "BEGIN":
            if not inside:
                parts += [text[at : match.start()], MASK]
            inside = True
        else:
            parts = parts if inside else [*parts, MASK]
            inside = False
            at = match.end()
    return "".join(parts) + ("" if inside else text[at:])


def _mask_login(match: re.Match[str]) -> str:
    login, at, host = match[0].rpartition("@")
    return f"{MASK}@{host}" if at and login else match[0]


def _mask_scheme(match: re.Match[str]) -> str:
    if match[1].lower() == "basic" and not _looks_random(match[3]):
        return match[0]
    return f"{match[1]}{match[2]}{MASK}"


def _looks_random(text: str) -> bool:
    """Whether a text is not like a word of a language."""
    plain = text.strip("'\"")
    return (
        any(char.isdigit() for char in plain)
        or plain.endswith("=")
        or not (plain.islower() or plain.isupper() or plain.istitle())
    )


def _of_sql_client(line: str) -> str:
    """`-pX` is a password in the command lines of these only: elsewhere it is a port or a path."""
    client = _SQL_CLIENT.search(line)
    if client is None or client[0] == "sshpass":
        return line
    return line[: client.end()] + _SQL_PASSWORD.sub(f"-p{MASK}", line[client.end() :])


def _without_pairs(text: str) -> str:
    """Without the values of `name=value`, `name: value`, `--name value`, `'--name', 'value'` whose
    names are those of secrets."""
    parts: list[str] = []
    at = begun = 0
    closing: dict[int, int] | None = None
    while match := _NAME.search(text, at):
        at = match.end()
        name = match["name"]
        if not (match["mark"] or match["next"] or match["gap"]) or not names_a_secret(name):
            continue
        if text[at : at + 1] in _OPENED and not match["gap"]:
            if closing is None:
                closing = _closing_brackets(text)
            end = closing.get(at, len(text))
        elif match["mark"] and ":" in match["mark"] and _BLOCK.match(text, at):
            end = _end_of_block(text, at)
            if end == at:
                continue
        else:
            value = _VALUE.match(text, at)
            if value is None or not _is_secret(match, value[0]):
                continue
            end = value.end()
        parts += [text[begun:at], MASK]
        at = begun = end
    return "".join(parts) + text[begun:]


def _end_of_block(text: str, at: int) -> int:
    """Where the lines end that are indented deeper than the one that `at` is in; `at` itself where
    there are none."""
    line = text.rfind("\n", 0, at) + 1
    indent = _INDENT.match(text, line)
    deepest = indent.end() - line if indent else 0
    end = at
    line = text.find("\n", at) + 1
    while 0 < line < len(text):
        indent = _INDENT.match(text, line)
        if indent is None or indent.end() - line <= deepest:
            break
        below = text.find("\n", line)
        end = len(text) if below < 0 else below
        line = end + 1
    return end


def _is_secret(match: re.Match[str], value: str) -> bool:
    """Whether the value after the name of a secret is a secret."""
    if _HARMLESS.fullmatch(value.strip("'\"")):
        return False
    quoted = value[0] in "'\"b\\" and value[-1] in "'\""
    if match["mark"]:
        # In prose a token is a word: `unknown token: foo`.
        prose = ":" in match["mark"] and match["name"].lower() == "token" and not quoted
        return not prose or _looks_random(value)
    if match["gap"]:
        if match["dash"]:
            return not value.startswith("-")
        return quoted and "pass" in match["name"].lower()
    # `'--token', 'x'`, or a pair of a list of headers; a list of columns has words only.
    return quoted and (bool(match["dash"]) or _looks_random(value))


def _closing_brackets(text: str) -> dict[int, int]:
    """The position after the closing bracket, by the position of the opening bracket."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACKET.finditer(text):
        if match[0] in _OPENED:
            opened.append(match.start())
        elif opened:
            found[opened.pop()] = match.end()
    return found
