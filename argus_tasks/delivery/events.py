"""Events in the format of the Argus server (envelope 1.1).

An event is built once, as the bytes that are sent: one line of compact JSON. Its id is a UUID whose
last twelve digits count the events of one process and batch, so missing events can be noticed.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from argus_tasks.base.files import dumps
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.delivery.event_data import (
    BATCH_ID_LIMIT,
    EVENT_LIMIT,
    INT_LIMIT,
    JOB_ID_LIMIT,
    clean,
    fit_id,
    stand_in,
    whole_number,
    with_required_keys,
)
from argus_tasks.delivery.segment_places import Ref

SCHEMA_VERSION = "1.1"
"""The version of the event format, which each event names."""


EVENT_TYPES = frozenset(
    {"batch_start", "batch_done", "batch_failed", "job_start", "job_epoch", "job_done"}
    | {"job_failed", "resource_snapshot", "log_line", "env_snapshot"}
)
JOB_EVENTS = frozenset({"job_start", "job_epoch", "job_done", "job_failed", "log_line"})

# The classes of events by importance: where space is short, the highest class is dropped first.
LIFECYCLE, EPOCH, SNAPSHOT, LOG = 0, 1, 2, 3
CLASS_OF = {"job_epoch": EPOCH, "resource_snapshot": SNAPSHOT, "log_line": LOG}

_ID_START = len('{"event_id":"')
_PREFIX_END = _ID_START + 24
ID_END = _ID_START + 36
LINE_START = b'{"event_id":"'
LINE_END = b"}}\n"
_TYPE_MARK = b'"event_type":"'

_JSON_STRING = json.encoder.encode_basestring
# Its `hex` is `0x1` and the twelve digits of an id's number, 0.
_FIRST_NUMBER = 1 << 48
_finite = math.isfinite
_float_text = float.__repr__


@dataclass(frozen=True)
class Source:
    """The sender of an event. Each event has project and host; the rest is sent once a batch."""

    project: str
    host: str | None = None
    user: str | None = None
    commit: str | None = None
    command: str | None = None

    def short(self) -> dict[str, str]:
        """The keys that every event has."""
        return self._named("project", "host")

    def full(self) -> dict[str, str]:
        """The keys that `batch_start` and `env_snapshot` have."""
        return self._named("project", "host", "user", "commit", "command")

    def _named(self, *names: str) -> dict[str, str]:
        values = {name: getattr(self, name) for name in names}
        return {
            name: str(to_jsonable(value)) for name, value in values.items() if value is not None
        } | {"project": str(to_jsonable(self.project)) or "unnamed"}


class Clock:
    """Makes timestamps of events from the wall clock; it caches the text of the present second."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        # A tuple, so that other threads never see the text of another second.
        self._second = (-math.inf, "")

    def stamp(self) -> str:
        """`2026-04-23T09:23:06.123Z`."""
        moment = self._now()
        second, text = self._second
        past = moment - second
        if not 0.0 <= past < 1.0:
            second = moment // 1.0
            text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = (second, text)
            past = moment - second
        # Formats (`:03d`, `:012x`) cost as much as all the rest where caches are cold.
        return f"{text}{str(int(past * 1000.0) + 1000)[1:]}Z"


class EventStream:
    """Builds the events of one batch in one process: their envelope and their numbered ids."""

    def __init__(self, batch_id: str, source: Source, *, now: Callable[[], float] = time.time):
        self.batch_id = fit_id(batch_id, BATCH_ID_LIMIT)
        self.source = source
        self._clock = Clock(now)
        self.stamp = self._clock.stamp
        self.after: tuple[Ref, ...] = ()
        """The places in the outbox that must be delivered before the next event of this stream."""
        self._short = dumps(source.short())
        self._full = dumps(source.full())
        self.renew()
        _streams.add(self)

    def renew(self) -> None:
        """Start a new series of ids: at the beginning, and in a forked child."""
        raw = os.urandom(9).hex()
        self.prefix = (
            f"{raw[:8]}-{raw[8:12]}-4{raw[12:15]}-{'89ab'[int(raw[17], 16) % 4]}{raw[15:18]}-"
        )
        self.head = f'{{"event_id":"{self.prefix}'
        self.numbers = itertools.count(_FIRST_NUMBER)

    def build(self, event_type: str, job_id: str | None, data: Mapping[str, Any]) -> bytes:
        """One event as one line.

        Args:
            event_type: the event's type.
            job_id: the job; None for an event of the batch.
            data: the data. Any value is accepted; one that JSON does not have is replaced, and
                `data` says so.
        """
        stamp = self.stamp()
        text = dumps(with_required_keys(event_type, clean(data)))
        if len(text) > EVENT_LIMIT:
            text = dumps(with_required_keys(event_type, stand_in(event_type, data, len(text))))
        source = self._full if event_type in _FULL_SOURCE else self._short
        job = "null" if job_id is None else _JSON_STRING(fit_id(job_id, JOB_ID_LIMIT))
        line = (
            f'{self.head}{hex(next(self.numbers))[3:]}","schema_version":"1.1"'
            f',"event_type":"{event_type}","timestamp":"{stamp}"'
            f',"batch_id":{_JSON_STRING(self.batch_id)},"job_id":{job}'
            f',"source":{source},"data":{text}}}\n'
        )
        return line.encode()

    def epochs(self, job_id: str) -> EpochBuilder:
        """A builder for the epoch events of one job."""
        return EpochBuilder(self, job_id)

    def epoch_envelope(self, job_id: str) -> tuple[str, str]:
        """The text between id and time, and that between time and data, of a job's epoch events."""
        before = '","schema_version":"1.1","event_type":"job_epoch","timestamp":"'
        after = (
            f'","batch_id":{_JSON_STRING(self.batch_id)}'
            f',"job_id":{_JSON_STRING(fit_id(job_id, JOB_ID_LIMIT))}'
            f',"source":{self._short},"data":'
        )
        return before, after


class EpochBuilder:
    """Builds the `job_epoch` events of one job. The envelope is made once, and plain numbers are
    written without an encoder."""

    def __init__(self, stream: EventStream, job_id: str) -> None:
        self._stream = stream
        self._before, self._after = stream.epoch_envelope(job_id)
        self._stamp = stream.stamp
        self.count = 0

    def line(
        self,
        epoch: Any,
        train_loss: Any,
        val_loss: Any,
        lr: Any,
        batch_time_ms: Any,
        extra: dict[str, Any],
    ) -> bytes:
        """One event as one line."""
        self.count += 1
        # Plain floats are written out here, one by one: this is every training loop's hot path.
        # One that is not finite does not give 0 minus itself, and is encoded in `_numbers`.
        plain = not extra and type(epoch) is int and -INT_LIMIT < epoch < INT_LIMIT
        data = ""
        if plain:
            data = f'{{"epoch":{epoch}'
            if train_loss is not None:
                if type(train_loss) is float and train_loss - train_loss == 0.0:
                    data += f',"train_loss":{train_loss!r}'
                else:
                    plain = False
            if val_loss is not None:
                if type(val_loss) is float and val_loss - val_loss == 0.0:
                    data += f',"val_loss":{val_loss!r}'
                else:
                    plain = False
            if lr is not None:
                if type(lr) is float and lr - lr == 0.0:
                    data += f',"lr":{lr!r}'
                else:
                    plain = False
            if batch_time_ms is not None:
                if type(batch_time_ms) is float and batch_time_ms - batch_time_ms == 0.0:
                    data += f',"batch_time_ms":{batch_time_ms!r}'
                else:
                    plain = False
        if plain:
            data += "}"
        else:
            named = {"train_loss": train_loss, "val_loss": val_loss, "lr": lr}
            data = self._numbers(epoch, {**named, "batch_time_ms": batch_time_ms}, extra)
        stream = self._stream
        number = hex(next(stream.numbers))[3:]
        return (
            f"{stream.head}{number}{self._before}{self._stamp()}{self._after}{data}}}\n"
        ).encode()

    def _numbers(self, epoch: Any, named: dict[str, Any], extra: dict[str, Any]) -> str:
        """The data where there are integers, subclasses of float (numpy's) or more metrics."""
        if type(epoch) is not int or not -INT_LIMIT < epoch < INT_LIMIT:
            return self._any_data(epoch, named, extra)
        data = f'{{"epoch":{epoch}'
        for key, value in (named | extra).items():
            if value is None and key not in extra:
                continue
            if isinstance(value, float) and _finite(value) and key.isascii():
                data += f",{_JSON_STRING(key)}:{_float_text(value)}"
            elif type(value) is int and -INT_LIMIT < value < INT_LIMIT and key.isascii():
                data += f",{_JSON_STRING(key)}:{value}"
            else:
                return self._any_data(epoch, named, extra)
        return data + "}"

    def _any_data(self, epoch: Any, named: dict[str, Any], extra: dict[str, Any]) -> str:
        fields = {key: value for key, value in named.items() if value is not None} | extra
        number = whole_number(epoch)
        if number is None:
            # The server requires an integer: the number of epochs so far, beside the given value.
            fields = {**fields, "epoch": self.count - 1, "epoch_given": epoch}
        else:
            fields = {**fields, "epoch": number}
        text = dumps(clean(fields))
        if len(text) > EVENT_LIMIT:
            text = dumps({"epoch": fields["epoch"], **stand_in("job_epoch", fields, len(text))})
        return text


def event_id_of(line: bytes) -> str:
    """The id of an event."""
    return line[_ID_START:ID_END].decode("ascii", "replace")


def series_of(line: bytes) -> tuple[str, int]:
    """The series of an event's id, and its number in the series. Errors: ValueError."""
    return line[_ID_START:_PREFIX_END].decode("ascii"), int(line[_PREFIX_END:ID_END], 16)


def event_type_of(line: bytes) -> str:
    """The type of an event. Errors: ValueError."""
    start = line.index(_TYPE_MARK) + len(_TYPE_MARK)
    return line[start : line.index(b'"', start)].decode("ascii", "replace")


def is_event(line: bytes) -> bool:
    """Whether a line looks like a whole event."""
    return line.startswith(LINE_START) and line.endswith(LINE_END)


def class_of(event_type: str) -> int:
    """The class of an event type; where space is short, higher classes are dropped first."""
    return CLASS_OF.get(event_type, LIFECYCLE)


_FULL_SOURCE = frozenset({"batch_start", "env_snapshot"})
_streams: weakref.WeakSet[EventStream] = weakref.WeakSet()


def _renew_streams() -> None:
    for stream in list(_streams):
        stream.renew()


os.register_at_fork(after_in_child=_renew_streams)
