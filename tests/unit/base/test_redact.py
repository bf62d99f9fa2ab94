"""What is taken out of texts and what is left, at a cost that grows as the texts do."""

from __future__ import annotations

import re
from re import _constants, _parser  # type: ignore[attr-defined]
from types import SimpleNamespace
from typing import Any

import pytest

from argus_tasks.base import redact as module
from argus_tasks.base.redact import (
    holds_secrets,
    redact,
    redact_command,
    redact_cut,
    redact_value,
    secrets_of,
)
from argus_tasks.base.secret_names import names_a_secret

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"

MASKED = {
    "Command '['curl', '--token', 'XYZ', '-o', 'a']' returned 1": (
        "Command '['curl', '--token', ***, '-o', 'a']' returned 1"
    ),
    "run --api-token XYZ --lr 1": "run --api-token *** --lr 1",
    "run --password=XYZ --lr 1": "run --password=*** --lr 1",
    'password="two words" x': "password=*** x",
    "{'api_key': 'XYZ', 'lr': 1}": "{'api_key': ***, 'lr': 1}",
    '{"credentials": {"user": {"a": 1}, "pw": "XYZ"}, "lr": 1}': '{"credentials": ***, "lr": 1}',
    "api_keys=['XYZ', ['ABC']] lr=1": "api_keys=*** lr=1",
    r"{\"token\": \"XYZ1\", \"lr\": 1}": r"{\"token\": ***, \"lr\": 1}",
    "[(b'authorization', b'Basic eHl6Og=='), (b'a', b'b')]": (
        "[(b'authorization', ***), (b'a', b'b')]"
    ),
    "curl -H 'Authorization: token XYZ' x": "curl -H 'Authorization: ***' x",
    "Authorization: Basic eHl6Og==": "Authorization: ***",
    "sent Bearer abcdefgh12": "sent Bearer ***",
    f"jwt {JWT} refused": "jwt *** refused",
    f"key {PEM} refused": "key *** refused",
    "cut -----BEGIN PRIVATE KEY-----\nMIIE": "cut ***",
    "MIIE\n-----END PRIVATE KEY----- cut": "*** cut",
    "mysql -uroot -pXYZ db": "mysql -uroot -p*** db",
    "sshpass -p XYZ ssh h": "sshpass -p *** ssh h",
    "curl -u me:XYZ https://h": "curl -u me:*** https://h",
    "pass=hunter2 tries=3": "pass=*** tries=3",
    "DB_PASS=hunter2": "DB_PASS=***",
    "https://u:PW@host/x@v1": "https://***@host/x@v1",
    "postgresql://u:p#?w@host/db": "postgresql://***@host/db",
    "https://h/x?token=abc&y=1": "https://h/x?token=***&y=1",
    "login with password 'XYZ'": "login with password ***",
    "id AKIAIOSFODNN7EXAMPLE.": "id ***.",
    "ghp_" + "a1" * 18: "***",
    "glpat-" + "a1" * 10: "***",
    "pypi-" + "a1" * 30: "***",
    "sk-" + "a1" * 20: "***",
    "sk-proj-" + "a-1_" * 10: "***",
    "base:\n  secrets:\n    - XYZ\n    - ABC\n  lr: 1": "base:\n  secrets:***\n  lr: 1",
    "+credentials:\n+- XYZ\n+lr: 1": "+credentials:***\n+lr: 1",
    "password: |\n  XYZ\n  ABC\nlr: 1": "password: ***\nlr: 1",
}


@pytest.mark.parametrize("text", MASKED)
def test_secrets_are_masked(text: str) -> None:
    assert redact(text) == MASKED[text]
    assert redact(MASKED[text]) == MASKED[text], "what is masked stays"


LEFT = [
    "tokens=128 n_tokens=5 max_tokens: 512 --max-tokens 5 tokens_per_second=12345",
    "tokenizer=bert --tokenizer bert-base-uncased tokenizer: 'bert'",
    "pad_token='<pad>' --eos-token </s> loss_per_token=2.31 next_token: 'the'",
    "key=value key: loss, keypoints=[1, 2], sort_key=lr, key_bias=1 monkey=4",
    "author=me authors: ['a', 'b'], pass_rate=0.91 num_passes=3 forward_pass=12345",
    "secretary=ann passage: long, compass=north, bypass=1 authority: me",
    "['token', 'label', 'secret santa'] has no column",
    "Unexpected token '}' at 3; unknown token: foo",
    "pass: 0.93, pass=true, token=3, password=None",
    "-p 8080 -p8080:80 mkdir -p a/b tar -pxf x -path /a",
    "git+https://github.com/org/repo@v1.2 https://host:8080/path?x=1 s3://bucket/key",
    "task-classification-with-bert-base-uncased-finetuned",
    "Basic convolution block, basic transformer; bearer of news",
    "PWD=/home/me OLDPWD=/tmp",
    "epoch 3: loss=0.5, acc: 0.9; lr=1e-3",
    "Enter password:\nTraceback (most recent call last):",
    "eyJ is how base64 of JSON begins; eyJhbGciOiJIUzI1NiJ9",
]


@pytest.mark.parametrize("text", LEFT)
def test_words_of_the_field_are_left(text: str) -> None:
    assert redact(text) == text


OF_SECRETS = """
token --token HF_TOKEN apiKey api_key AWS_KEY APIKey SECRETS db.password
login.credentials.user accessToken wandb_api_key auth OPENAI_API_KEY_2 passwd
X-Amz-Signature pass smtp_pass
"""


@pytest.mark.parametrize("name", OF_SECRETS.split())
def test_names_of_secrets(name: str) -> None:
    assert names_a_secret(name)


OF_THE_FIELD = """
tokens n_tokens max_tokens tokenizer key keypoints author pass_rate num_passes
secretary pad_token eos_token_id loss_per_token token_dim keyword n_keys forward_pass
high_pass primary_key PWD password_length signature model_signature token_type_ids
"""


@pytest.mark.parametrize("name", OF_THE_FIELD.split())
def test_names_of_the_field(name: str) -> None:
    assert not names_a_secret(name)


def test_values_under_names_of_secrets() -> None:
    value = {
        "credentials": {"user": "me", "keys": ["a", ["b"]], "port": 22, "on": True, "pin": 4711},
        "password": ["a", "b"],
        "token": 0.25,
        "tokens": [1, 2],
        "https://u:p@h/": "x",
        "note": "token=abc",
        "secret": "",
    }
    assert redact_value(value) == {
        "credentials": {
            "user": "***",
            "keys": ["***", ["***"]],
            "port": 22,
            "on": True,
            "pin": "***",
        },
        "password": ["***", "***"],
        "token": 0.25,
        "tokens": [1, 2],
        "https://***@h/": "x",
        "note": "token=***",
        "secret": "",
    }
    assert holds_secrets(value)
    assert not holds_secrets({"lr": 0.1, "tokens": "a", "pad_token": "<pad>"})
    huge = {"pin": 10**5000, "token": 10**5000}
    assert redact_value(huge)["token"] == "***"


def test_secrets_of_a_config_and_the_environment_are_found_in_any_spelling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_looked_up", (-1.0, ()))
    monkeypatch.setenv("LAB_TOKEN", "s3cr3t/of env")
    monkeypatch.setenv("SHORT_TOKEN", "abcdefg")
    monkeypatch.setenv("PAD_TOKEN", "padding-padding")
    secrets = secrets_of({"db": [{"password": "p@ss\nword"}], "lr": "learning", "pwd": "short"})
    text = "s3cr3t/of env s3cr3t%2Fof%20env p@ss\nword 'p@ss\\nword' abcdefg padding-padding short"
    shown = "*** *** *** '***' abcdefg padding-padding short"
    assert redact(text, secrets) == shown


def test_no_secret_is_left_by_half_at_a_cut() -> None:
    secret = "password=" + "s3cret" * 100
    for shift in range(0, 700, 7):
        text = "x" * (5_000 - shift) + " " + secret + " " + "y" * 50_000 + " " + secret
        shown = redact_cut(text + " " + "z" * (5_000 - shift), 10_000)
        assert "s3cret" not in shown, shift
        assert "characters ...]" in shown
        assert len(shown) < 10_100
    assert redact_cut("token=abc", 10_000) == "token=***"


def test_commands() -> None:
    words = ["t.py", "--api-token", "a b", "--password=x", "-H", "Authorization: token X", "a b"]
    shown = redact_command(words, ())
    assert shown == "t.py --api-token *** --password=*** -H Authorization: *** 'a b'"


UNITS = [
    *("a", "a.", "ab ", "-", '"', '\\"', "Ab", "://", "://a", "a@", "token=", 'token="', "token=["),
    *("token=[\n", "token: |\n", " token:\n", "token='x\\", "--token ", "a=", "key ", "'token', "),
    *("eyJ", "eyJaaaaaaa.", "sk-", "basic ", "em_live_", "mysql -p", "curl -u a:", "sshpass "),
    *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "\n", "é", "A" * 40),
]


class CountingPattern:
    """A pattern that adds up how many characters its searches, matches and substitutions pass."""

    def __init__(self, pattern: re.Pattern[str], seen: SimpleNamespace) -> None:
        self._pattern, self._seen = pattern, seen

    def _took(self, match: re.Match[str] | None, at: int, length: int) -> Any:
        self._seen.steps += 1 + (match.end() if match else length) - at
        return match

    def search(self, text: str, at: int = 0) -> Any:
        return self._took(self._pattern.search(text, at), at, len(text))

    def match(self, text: str, at: int = 0) -> Any:
        found = self._pattern.match(text, at)
        self._seen.steps += 1 + (found.end() - at if found else 0)
        return found

    def fullmatch(self, text: str) -> Any:
        self._seen.steps += 1 + len(text)
        return self._pattern.fullmatch(text)

    def finditer(self, text: str) -> Any:
        self._seen.steps += 1 + len(text)
        return self._pattern.finditer(text)

    def sub(self, by: Any, text: str) -> str:
        self._seen.steps += 1 + len(text)
        return self._pattern.sub(by, text)


@pytest.mark.parametrize("unit", UNITS)
def test_the_work_grows_as_the_text_does(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in characters that our patterns are led over; that none goes back over them is seen
    to by the next test."""
    seen = SimpleNamespace(steps=0)
    for name, value in vars(module).copy().items():
        if isinstance(value, re.Pattern):
            monkeypatch.setattr(module, name, CountingPattern(value, seen))
    counts = []
    for size in (2_000, 8_000):
        seen.steps = 0
        redact((unit * size)[:size])
        counts.append(seen.steps)
    assert counts[1] <= 4.5 * counts[0] + 1_000
    assert counts[1] <= 40 * 8_000


def test_no_pattern_goes_back_over_what_it_has_read() -> None:
    """Repeats without a bound are possessive. `_HARMLESS` is for one value, from end to end."""
    patterns = {
        name: value for name, value in vars(module).items() if isinstance(value, re.Pattern)
    }
    assert len(patterns) > 10
    going_back = {
        name for name, value in patterns.items() if _goes_back(_parser.parse(value.pattern))
    }
    assert going_back == {"_HARMLESS"}


def _goes_back(parsed: Any) -> bool:
    """Whether a part of a parsed pattern is an unbounded repeat that gives back what it took."""
    if not isinstance(parsed, _parser.SubPattern | list | tuple):
        return False
    repeats = len(parsed) == 2 and parsed[0] in (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
    return (repeats and parsed[1][1] == _constants.MAXREPEAT) or any(map(_goes_back, parsed))
