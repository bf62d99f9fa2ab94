"""Any value that a user may pass gives an event that the contract takes."""

from __future__ import annotations

import datetime
import decimal
import enum
import itertools
import math
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_tasks.delivery.event_data import clean, fit_id
from argus_tasks.delivery.events import (
    EVENT_TYPES,
    Clock,
    EventStream,
    Source,
    event_id_of,
    is_event,
    series_of,
)
from tests.event_model import EventModel, strict_json


class Raises:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Odd(float):
    pass


class Colour(enum.Enum):
    RED = "red"


SELF: list[Any] = []
SELF.append(SELF)

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(alphabet=st.characters(codec=None), max_size=40),
    st.binary(max_size=40),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.decimals(),
    st.complex_numbers(),
    st.uuids(),
    st.sampled_from(
        [
            Raises(),
            Odd("nan"),
            Odd(1.5),
            Colour.RED,
            SELF,
            Path("a/b"),
            PurePosixPath("/x"),
            object,
            object(),
            np.float32("nan"),
            np.float32(0.1),
            np.int64(3),
            np.bool_(True),
            np.array([1.0, math.inf]),
            np.datetime64("2020-01-01"),
            10**400,
            "x" * 70_000,
            "\ud800",
            "line\nbreak\r\x00\u2028",
            range(3),
            lambda: 0,
        ]
    ),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(
            st.one_of(st.text(max_size=8), st.integers(), st.none()), inner, max_size=4
        ),
        st.frozensets(st.one_of(st.integers(), st.text(max_size=5)), max_size=4),
    ),
    max_leaves=8,
)


def valid(line: bytes) -> dict[str, Any]:
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert is_event(line)
    event = strict_json(line)
    EventModel.model_validate(event)
    return dict(event)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(EVENT_TYPES)),
    st.text(max_size=400),
    st.dictionaries(
        st.one_of(st.text(max_size=10), st.sampled_from(["epoch", "line", "level", "metrics"])),
        values,
        max_size=4,
    ),
)
def test_any_data_of_any_type(event_type: str, job_id: str, data: dict[str, Any]) -> None:
    stream = EventStream("batch-1", Source("p", "h"))
    valid(stream.build(event_type, job_id, data))


@settings(max_examples=300, deadline=None)
@given(values, values, values, values, values, st.dictionaries(st.text(max_size=10), values))
def test_any_epoch(
    epoch: Any, train: Any, val: Any, lr: Any, took: Any, extra: dict[str, Any]
) -> None:
    builder = EventStream("batch-1", Source("p", "h")).epochs("job")
    event = valid(builder.line(epoch, train, val, lr, took, extra))
    assert type(event["data"]["epoch"]) is int


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet=st.characters(codec=None), max_size=600),
    st.text(alphabet=st.characters(codec=None), max_size=600),
    st.text(alphabet=st.characters(codec=None), max_size=50),
    st.one_of(st.none(), st.text(alphabet=st.characters(codec=None), max_size=50)),
)
def test_any_ids_and_source(batch: str, job: str, project: str, host: str | None) -> None:
    stream = EventStream(batch, Source(project, host, host, host, host))
    valid(stream.build("batch_start", None, {}))
    valid(stream.build("job_start", job, {}))
    valid(stream.epochs(job).line(1, 0.5, None, None, None, {}))


def test_plain_numbers_take_the_short_way_to_the_same_event() -> None:
    builder = EventStream("b", Source("p")).epochs("j")
    numbers = [None, 0.1, -0.0, 1e300, 5e-324, 3, -7, np.float64(0.3), Odd(2.5)]
    for train, val, lr, took in itertools.product(numbers, repeat=4):
        data = valid(builder.line(4, train, val, lr, took, {}))["data"]
        expected = {"train_loss": train, "val_loss": val, "lr": lr, "batch_time_ms": took}
        given_ = {key: value for key, value in expected.items() if value is not None}
        assert data == {"epoch": 4, **{key: float(value) for key, value in given_.items()}}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null_and_named(value: float) -> None:
    builder = EventStream("b", Source("p")).epochs("j")
    data = valid(builder.line(1, value, 0.5, None, None, {"acc": {"top1": value}}))["data"]
    assert data["train_loss"] is None
    assert data["acc"] == {"top1": None}
    assert data["nonfinite"] == {"train_loss": repr(value), "acc.top1": repr(value)}
    assert data["val_loss"] == 0.5


@pytest.mark.parametrize("name", ["train_loss", "val_loss", "lr", "batch_time_ms"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_short_way_lets_nothing_through_that_is_not_finite(name: str, value: float) -> None:
    builder = EventStream("b", Source("p")).epochs("j")
    fields = {"train_loss": 0.1, "val_loss": 0.2, "lr": 0.3, "batch_time_ms": 0.4, name: value}
    data = valid(builder.line(1, *fields.values(), {}))["data"]
    assert data[name] is None
    assert data["nonfinite"] == {name: repr(value)}


@pytest.mark.parametrize(
    ("given_", "sent", "beside"),
    [
        (3, 3, None),
        (3.0, 3, None),
        (np.int64(3), 3, None),
        (True, 1, None),
        (3.5, 0, 3.5),
        ("last", 0, "last"),
        (None, 0, None),
        (math.nan, 0, None),
        (2**70, 0, float(2**70)),
    ],
)
def test_an_epoch_that_is_no_integer_is_counted_instead(
    given_: Any, sent: int, beside: Any
) -> None:
    builder = EventStream("b", Source("p")).epochs("j")
    data = valid(builder.line(given_, 0.5, None, None, None, {}))["data"]
    assert data["epoch"] == sent
    assert data.get("epoch_given") == beside


def test_an_event_that_is_too_large_goes_as_what_it_was() -> None:
    stream = EventStream("b", Source("p"))
    data = {f"k{n}": "x" * 60_000 for n in range(20)}
    line = stream.build("job_done", "j", data)
    assert len(line) < 4096
    assert valid(line)["data"]["too_large_bytes"] > 1_000_000
    line = stream.build("log_line", "j", {"line": "x" * 10**6, "level": "info"})
    assert valid(line)["data"]["shortened"] == {"line": "1000000 characters"}


def test_long_ids_are_shortened_recognisably() -> None:
    one, two = fit_id("a" * 300, 256), fit_id("a" * 299 + "b", 256)
    assert one != two
    assert len(one) == len(two) == 256
    assert one.startswith("a" * 200)
    assert fit_id("a" * 256, 256) == "a" * 256


def test_ids_are_uuids_of_version_4_and_count() -> None:
    stream = EventStream("b", Source("p"))
    lines = [stream.build("job_start", "j", {}) for _ in range(3)]
    ids = [uuid.UUID(valid(line)["event_id"]) for line in lines]
    assert {one.version for one in ids} == {4}
    assert {one.variant for one in ids} == {uuid.RFC_4122}
    assert [series_of(line)[1] for line in lines] == [0, 1, 2]
    assert len({EventStream("b", Source("p")).prefix for _ in range(1000)}) == 1000


def test_the_time_is_that_of_the_event() -> None:
    moments = iter([1_800_000_000.0004, 1_800_000_000.9999, 1_800_000_001.0])
    stream = EventStream("b", Source("p"), now=lambda: next(moments))
    stamps = [valid(stream.build("job_start", "j", {}))["timestamp"] for _ in range(3)]
    assert stamps == [
        "2027-01-15T08:00:00.000Z",
        "2027-01-15T08:00:00.999Z",
        "2027-01-15T08:00:01.000Z",
    ]


def test_a_clock_tells_each_millisecond_and_may_be_set_back() -> None:
    begin = 1_800_000_000
    # In 1/1024 of a second: each moment is exact, and none is rounded up to the next one.
    moments = [*range(4096), *range(4095, -1, -1), 1, 4000, 999, 86_400 * 1024, 0]
    now = iter(begin + moment / 1024 for moment in moments)
    clock = Clock(lambda: next(now))
    for moment in moments:
        second, rest = divmod(moment, 1024)
        day = datetime.datetime.fromtimestamp(begin + second, datetime.UTC)
        expected = f"{day:%Y-%m-%dT%H:%M:%S}.{rest * 1000 // 1024:03d}Z"
        assert clock.stamp() == expected


def test_an_epoch_and_other_events_are_numbered_together() -> None:
    stream = EventStream("b", Source("p"))
    epochs = stream.epochs("j")
    for _ in range(5_000):
        last = epochs.line(1, 0.5, None, None, None, {})
    assert series_of(last) == (stream.prefix, 4_999)
    assert series_of(stream.build("job_done", "j", {})) == (stream.prefix, 5_000)
    assert len(event_id_of(last)) == 36


def test_secrets_in_values_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEP_API_KEY", "canary-canary")
    monkeypatch.setattr("argus_tasks.base.redact._looked_up", (-1.0, ()))
    data = clean({"a": "x canary-canary y", "b": ["--token abc"], "password": "p", "c": 1})
    assert data == {"a": "x *** y", "b": ["--token ***"], "password": "***", "c": 1}


@pytest.mark.parametrize("make", [lambda: {"token": 3}, lambda: {"lr": 1, "monkey": "x"}])
def test_numbers_and_words_are_no_secrets(make: Callable[[], dict[str, Any]]) -> None:
    assert clean(make()) == make()


@pytest.mark.parametrize(
    "value",
    [datetime.datetime(2020, 1, 1), decimal.Decimal("1.5"), {1, 2}, b"ab", Path("a") / "b"],
)
def test_common_objects_have_a_text_or_a_number(value: Any) -> None:
    data = clean({"x": value})
    assert data["x"] not in (None, "")
    assert "unreadable" not in str(data["x"])
