"""Handle SIGINT, SIGTERM and SIGHUP, and raise KeyboardInterrupt only where that does no harm.

Python raises KeyboardInterrupt between any two steps of the main thread: within an experiment, but
also between a run's last file and its line in the ledger. Within `listening` a signal is
passed to a listener at once; it is raised only within `raising`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Prefect's handler of SIGTERM raises in the main thread; it is known by its name, not imported.
_PREFECTS = "_prefect_sigterm_handler"

_listening: _Listening | None = None


class _Listening:
    def __init__(self, listener: Callable[[int], None], outer: _Listening | None) -> None:
        self.listener = listener
        self.outer = outer
        self.replaced: dict[signal.Signals, Any] = {}
        self.pending = False
        self.raises = False

    def take(self) -> None:
        """Install the handler for the signals that have only a default handler."""
        for sign in SIGNALS:
            found = signal.getsignal(sign)
            if found is not _handle and _is_free(sign, found):
                self.replaced.setdefault(sign, found)
                signal.signal(sign, _handle)


@contextmanager
def listening(listener: Callable[[int], None]) -> Iterator[None]:
    """Within this block, `listener` is called with each SIGINT, SIGTERM and SIGHUP.

    It is called between any two steps of the main thread, so it may set flags but take no lock.
    Nothing happens outside of the main thread, nor for signals that are ignored or have another
    handler than Python's or Prefect's. A nested call with the
    same listener installs handlers again that were replaced meanwhile; with another listener, both
    are called.
    """
    global _listening
    if threading.current_thread() is not threading.main_thread():
        yield
    elif _listening is not None and _listening.listener == listener:
        _listening.take()
        yield
    else:
        mine = _listening = _Listening(listener, _listening)
        mine.take()
        try:
            yield
        finally:
            for sign, found in mine.replaced.items():
                signal.signal(sign, found)
            _listening = mine.outer


@contextmanager
def raising() -> Iterator[None]:
    """Within this block, such a signal also raises KeyboardInterrupt, and so does one that arrived
    before and has not been raised yet."""
    with _set_to(raises=True):
        _raise_what_waits()
        yield


@contextmanager
def deferring() -> Iterator[None]:
    """Within `raising`: raise nothing in this block; a signal that arrives is raised at its end."""
    with _set_to(raises=False):
        yield
    _raise_what_waits()


def stop_raising() -> None:
    """Raise nothing more in the rest of the `raising` block."""
    if _listening is not None and _is_ours():
        _listening.raises = False


def _raise_what_waits() -> None:
    active = _listening
    if active is not None and active.pending and active.raises and _is_ours():
        active.pending = False
        raise KeyboardInterrupt


@contextmanager
def _set_to(*, raises: bool) -> Iterator[None]:
    active = _listening
    if active is None or not _is_ours():
        yield
        return
    before = active.raises
    try:
        try:
            active.raises = raises
            yield
        finally:
            active.raises = before
    finally:
        active.raises = before  # a signal arrived in the line before


def _is_ours() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_free(sign: signal.Signals, found: Any) -> bool:
    return (
        found is signal.SIG_DFL
        or (sign == signal.SIGINT and found is signal.default_int_handler)
        or getattr(found, "__name__", "") == _PREFECTS
    )


def _handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's
    active = _listening
    if active is None:
        return
    each: _Listening | None = active
    while each is not None:
        each.pending = each is not active or not active.raises
        each.listener(number)
        each = each.outer
    if active.raises:
        raise KeyboardInterrupt


def _after_fork_in_child() -> None:
    """Restore the default handlers in a forked child: SIGTERM must end it, not stop the sweep."""
    global _listening
    _listening = None
    for sign in SIGNALS:
        if signal.getsignal(sign) is _handle:
            default = signal.default_int_handler if sign == signal.SIGINT else signal.SIG_DFL
            with suppress(ValueError, OSError):
                signal.signal(sign, default)


os.register_at_fork(after_in_child=_after_fork_in_child)
