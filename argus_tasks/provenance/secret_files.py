"""Which files look as if they held a secret: their content is hashed and never stored."""

from __future__ import annotations

import re
from pathlib import PurePath

from argus_tasks.base.secret_names import names_a_secret

_NAMES = re.compile(
    r"(?i)^\.?env(\..*)?$|^\.netrc$|^\.pgpass$|^id_(rsa|dsa|ecdsa|ed25519)|\.(pem|key|p12|pfx|kdbx)$"
)
_STEMS = frozenset({"secrets", "secret", "credentials", "credential", "passwords", "tokens"})
# How the keys of well-known services begin, and what comes after it.
_KEYS = {
    b"em_live_": rb"[\w-]+",
    b"em_test_": rb"[\w-]+",
    **dict.fromkeys((b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"\w{20,}"),
    b"github_pat_": rb"\w{20,}",
    b"hf_": rb"[A-Za-z0-9]{20,}",
    b"sk-": rb"[\w-]{20,}",
    **dict.fromkeys((b"xoxa-", b"xoxb-", b"xoxp-", b"xoxr-", b"xoxs-"), rb"[\w-]{10,}"),
    b"AKIA": rb"[A-Z0-9]{16}",
    b"glpat-": rb"[\w-]{16,}",
    b"pypi-": rb"[\w-]{40,}",
    b"PRIVATE KEY": rb"-----",
    b"://": rb"[^/\s@:'\"{}]+:[^/\s@'\"{}]+@",
}
_WORDS = re.compile(rb"(?i)token|secret|passw|passphrase|pwd|key|credential|authorization")
_LITERAL = re.compile(
    rb"([A-Za-z_][\w.-]*)['\"]?\]?\s*(?::\s*str\s*)?[=:]\s*[rbuf]?(?:'[^'\n]{6,}'|\"[^\"\n]{6,}\")"
)
_PLAIN_VALUE = re.compile(rb"^\s*([A-Za-z_][\w.-]*)\s*[=:]\s*[^\s#'\"]{6,}\s*$")
_PLAIN_SUFFIXES = (".yaml", ".yml", ".toml", ".ini", ".cfg", ".json")


def looks_secret(name: str, content: bytes) -> bool:
    """Whether a file is named like one of secrets, or holds a text that looks like one."""
    path = PurePath(name)
    if _NAMES.search(path.name) or path.stem.lower() in _STEMS:
        return True
    for start, rest in _KEYS.items():  # most files have none of these, and are done quickly
        if start in content and re.search(re.escape(start) + rest, content):
            return True
    plain = path.suffix in _PLAIN_SUFFIXES
    for line in content.splitlines():
        if _WORDS.search(line):
            found = list(_LITERAL.finditer(line))
            if plain and (value := _PLAIN_VALUE.match(line)):
                found.append(value)
            if any(names_a_secret(match[1].decode("ascii", "replace")) for match in found):
                return True
    return False
