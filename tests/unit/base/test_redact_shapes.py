"""Secrets that are known by their shape alone, wherever in a text they stand."""

from __future__ import annotations

import pytest

from argus_tasks.base.redact import redact

LONG = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"


@pytest.mark.parametrize(
    ("begins", "rest"),
    [
        ("em_live_", "x7"),
        ("em_test_", "x7"),
        *((f"gh{kind}_", LONG[:36]) for kind in "pousr"),
        ("github_pat_", LONG[:22] + "_" + LONG[:20]),
        ("hf_", LONG[:34]),
        ("sk-", "proj-" + LONG),
        *((f"xox{kind}-", "123456789012-" + LONG[:24]) for kind in "abprs"),
        ("AKIA", "IOSFODNN7EXAMPLE"),
        ("glpat-", LONG[:20]),
        ("pypi-", "AgEIcHlwaS5vcmc" + LONG),
    ],
)
@pytest.mark.parametrize("around", ["{}", "cloned with {} at noon", "('{}',)", "one\n{}\ntwo"])
def test_a_shape_is_masked(begins: str, rest: str, around: str) -> None:
    # In two parts, so that nobody who looks for secrets in a repository finds these.
    assert redact(around.format(begins + rest)) == around.format("***")


@pytest.mark.parametrize(
    "text", ["AKIA is a prefix", "pypi-server 2.1", "glpat-short", "ghp_x", "hf_hub 1.0", "em_live"]
)
def test_what_only_begins_so_stays(text: str) -> None:
    assert redact(text) == text
