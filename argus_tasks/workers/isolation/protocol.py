"""What parent and worker say to each other: pickles with their length before them, on a socket."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from argus_tasks.experiments.experiment import Experiment

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message to a worker: what holds for all its runs.

    `live_trackers` are pickled by the caller, since they may need cloudpickle; with `fresh`, each
    attempt gets a process of its own. `cwd` is the working folder; None: the parent's.
    `environment` is this worker's, besides the others'.
    """

    experiment: Experiment
    sys_path: tuple[str, ...]
    tracker_specs: tuple[Mapping[str, Any], ...]
    live_trackers: bytes | None
    stop_descriptor: int
    fresh: bool = False
    cwd: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetupFailed:
    """A worker's answer to a Setup that it cannot use: the experiment does not import."""

    error_type: str
    message: str
    stack: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's answer to a Setup that it can use; `forks`: each attempt in a fork of it."""

    forks: bool = False


class Closed(Exception):
    """The other side is gone."""


def send(sock: socket.socket, message: object) -> None:
    """Send one message. Errors: Closed; pickle's own where it cannot be pickled."""
    send_bytes(sock, dumps(message))


def dumps(message: object) -> bytes:
    """The message as bytes; by cloudpickle where pickle itself cannot, or would name a class of
    `__main__`, which is another module in the worker."""
    try:
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        if b"__main__" not in data:
            return data
    except Exception:  # noqa: BLE001, S110 - pickle raises many kinds; cloudpickle says the last word
        pass
    import cloudpickle

    by_value: bytes = cloudpickle.dumps(message)
    return by_value


def send_bytes(sock: socket.socket, data: bytes) -> None:
    """Send what `dumps` gave. Errors: Closed."""
    try:
        sock.sendall(_LENGTH.pack(len(data)) + data)
    except OSError as error:
        raise Closed from error


def receive(sock: socket.socket) -> Any:
    """The next message. Errors: Closed."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    return pickle.loads(_exactly(sock, length))


def _exactly(sock: socket.socket, count: int) -> bytes:
    try:
        data = sock.recv(count)
        while len(data) < count:
            more = sock.recv(count - len(data)) if data or count else b""
            if not more:
                raise Closed
            data += more
    except OSError as error:
        raise Closed from error
    return data


def without_experiment_function(experiment: Experiment) -> Experiment:
    """The experiment as it travels: by path or by value, without the live function."""
    return Experiment(
        experiment.name,
        experiment.identity,
        experiment.path,
        experiment.pickled,
        experiment.folder,
    )


def sys_path_of(entries: Sequence[str], cwd: str) -> tuple[str, ...]:
    """A `sys.path` that means the same in a process whose working folder may change."""
    return tuple(entry or cwd for entry in entries)
