"""The messages between a parent and its workers: pickles, each with its length in front, on a
socket."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from argus_tasks.experiments.experiment import Experiment
from argus_tasks.provenance.code_recording import CodeRecording

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message to a worker: what holds for all its runs.

    Attributes:
        experiment: the experiment to load.
        sys_path: the `sys.path` to load it with.
        tracker_specs: the trackers that the worker creates.
        live_trackers: trackers that the caller created, pickled (cloudpickle may be needed).
        stop_descriptor: the file descriptor of the stop flag.
        fresh: whether each attempt runs in a process of its own.
        nice: the number to add to the niceness of the process.
        cwd: the working folder; None for the parent's.
        environment: the environment variables of this worker, in addition to those of all workers.
        code: what to record of the code that runs execute; None for nothing.
    """

    experiment: Experiment
    sys_path: tuple[str, ...]
    tracker_specs: tuple[Mapping[str, Any], ...]
    live_trackers: bytes | None
    stop_descriptor: int
    fresh: bool = False
    nice: int = 0
    cwd: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    code: CodeRecording | None = None


@dataclass(frozen=True, slots=True)
class SetupFailed:
    """A worker's answer to a Setup that it cannot use: the experiment cannot be imported."""

    error_type: str
    message: str
    stack: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's answer to a Setup that it can use.

    Attributes:
        forks: whether it forks a process for each attempt.
    """

    forks: bool = False


@dataclass(frozen=True, slots=True)
class Outdated:
    """A worker's answer to an attempt that it would fork: files that it has loaded were edited
    since, so the attempt would run two codes. Another worker is to run it."""


class Closed(Exception):
    """The other side has closed the connection."""


def send(sock: socket.socket, message: object) -> None:
    """Send one message. Raises Closed, or an error of pickle if the message cannot be pickled."""
    send_bytes(sock, dumps(message))


def dumps(message: object) -> bytes:
    """Pickle a message; with cloudpickle if pickle fails, or if a class of `__main__` is in it,
    which is another module in the worker."""
    try:
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        if b"__main__" not in data:
            return data
    except Exception:  # noqa: BLE001, S110 - pickle raises many kinds; cloudpickle is tried next
        pass
    import cloudpickle

    by_value: bytes = cloudpickle.dumps(message)
    return by_value


def send_bytes(sock: socket.socket, data: bytes) -> None:
    """Send what `dumps` has returned. Raises Closed."""
    try:
        sock.sendall(_LENGTH.pack(len(data)) + data)
    except OSError as error:
        raise Closed from error


def receive(sock: socket.socket) -> Any:
    """Wait for the next message. Raises Closed."""
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
    """The experiment without its live function: workers import it, or unpickle it."""
    return replace(experiment, function=None)


def sys_path_of(entries: Sequence[str], cwd: str) -> tuple[str, ...]:
    """A `sys.path` that stays valid when the working folder changes."""
    return tuple(entry or cwd for entry in entries)
