"""Recognize the names of secrets among flags, variables and keys of a config."""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST_NAME = 120
"""Of a longer name only the end is examined; in characters."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ANYWHERE = _words(
    "secret secrets password passwords passwd passphrase pwd apikey apikeys accesskey secretkey"
    " privatekey credential credentials creds authorization"
)
_AT_THE_END = frozenset({"token", "auth", "cookie", "cookies", "jwt"})
# The words before the last one that make it a secret; `key` and `pass` alone do not.
_BEFORE = {
    "key": _words("api access private secret auth account signing encryption master ssh deploy"),
    "keys": frozenset({"api", "access", "secret", "private"}),
    "pass": _words("db user smtp mysql postgres pg admin root login ssh ftp mail http proxy redis"),
    "signature": frozenset({"amz", "goog"}),
}
# Tokens of a text, no secrets: `pad_token`, `loss_per_token`.
_OF_TEXTS = _words(
    "pad eos bos sos sep cls mask unk per special next prev start end stop begin image first last"
    " class new each mean bpe out in max min num n text audio think tool"
)
_MORE = frozenset({"value", "text", "str", "string", "header"})
_FOLDERS = frozenset({"PWD", "OLDPWD"})
_WORD_BREAK = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def names_a_secret(name: str) -> bool:
    """Whether a flag, variable or key is named like a secret (`--token`, `WANDB_API_KEY`); words
    that only contain one (`tokenizer`, `max_tokens`, `keyword`), and tokens of texts (`pad_token`),
    are none."""
    return any(map(_names_a_secret, name[-LONGEST_NAME:].split(".")))


@lru_cache(maxsize=4096)
def _names_a_secret(name: str) -> bool:
    words = [word.lower() for word in _WORD_BREAK.split(name) if word]
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in _MORE):
        words.pop()
    if not words or name in _FOLDERS:
        return False
    if _ANYWHERE.intersection(words):
        return words[-1] not in ("file", "path", "length", "len")
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _AT_THE_END:
        return not (last == "token" and before in _OF_TEXTS)
    if last == "pass" and not before:
        return True
    if last == "key" and name.isupper():
        return True
    return before in _BEFORE.get(last, ())
