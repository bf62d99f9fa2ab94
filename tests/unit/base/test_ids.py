"""Identities are contracts."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

from argus_tasks.base.ids import (
    canonical_json,
    derive_batch_id,
    digest_of,
    job_suffix,
    new_run_id,
    slug,
)


def test_a_derived_batch_id_is_the_servers_rule() -> None:
    expected = "bench-" + hashlib.sha256(b"p|e|abc").hexdigest()[:16]
    assert derive_batch_id("p", "e", "abc") == expected
    assert derive_batch_id("p", "e", "") == derive_batch_id("p", "e", None)
    assert derive_batch_id("p", "e", None)[6:] == hashlib.sha256(b"p|e|no-git").hexdigest()[:16]


def test_run_ids_keep_the_older_form() -> None:
    assert re.fullmatch(r"\d{8}_\d{6}_[0-9a-f]{8}", new_run_id())


def test_equal_configs_have_equal_digests() -> None:
    one = digest_of("m:f", {"a": 1, "b": (1, 2), "p": PurePosixPath("x/y")})
    same = digest_of("m:f", {"p": "x/y", "b": [1.0, 2], "a": 1.0})
    assert one == same


def test_what_differs_has_another_digest() -> None:
    base = digest_of("m:f", {"a": 1})
    others = [
        digest_of("m:g", {"a": 1}),
        digest_of("m:f", {"a": True}),
        digest_of("m:f", {"a": "1"}),
        digest_of("m:f", {"a": 1.5}),
        digest_of("m:f", {"a": None}),
        digest_of("m:f", {"a": float("nan")}),
        digest_of("m:f", {"a": 1, "b": None}),
    ]
    assert len({base, *others}) == 1 + len(others)


def test_ignored_keys_do_not_count() -> None:
    assert digest_of("m:f", {"a": 1, "gpu": 0}, ("gpu",)) == digest_of("m:f", {"a": 1})


def test_big_integers_are_not_rounded() -> None:
    assert canonical_json({"a": 2**63}) != canonical_json({"a": 2**63 + 1})


def test_a_float_is_its_integer_only_where_it_is_exact() -> None:
    exact = 2**53 - 1
    assert canonical_json([float(exact), -float(exact)]) == canonical_json([exact, -exact])
    for rounded in (2**53, -(2**53), 10**300):
        assert canonical_json(float(rounded)) != canonical_json(rounded)


def test_numbers_that_are_not_finite_are_three() -> None:
    values = [float(text) for text in ("nan", "inf", "-inf")]
    assert len({canonical_json(value) for value in [*values, None]}) == 4


def test_job_ids_end_in_six_hex_digits_of_the_batch_id() -> None:
    assert job_suffix("bench-0123456789abcdef") == "abcdef"
    assert job_suffix("nightly-2026") == hashlib.sha256(b"nightly-2026").hexdigest()[:6]
    assert job_suffix("x") == hashlib.sha256(b"x").hexdigest()[:6]


def test_slugs_are_readable_and_bounded() -> None:
    assert slug("patch tst/ETTh1") == "patch-tst-ETTh1"
    long = slug("x" * 300, 40)
    assert len(long) == 40
    assert long != slug("x" * 301, 40)
