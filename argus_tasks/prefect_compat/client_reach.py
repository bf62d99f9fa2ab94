"""Makes Prefect's own clients reach a server on this machine without a proxy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

from prefect.client import base
from prefect.logging.handlers import APILogWorker

from argus_tasks.base.urls import is_loopback
from argus_tasks.prefect_compat.hook import Hook

_CLIENTS = ("PrefectHttpxAsyncClient", "PrefectHttpxSyncClient")


@contextmanager
def reached_directly() -> Iterator[None]:
    """A context in which Prefect's clients use no proxy for a server on this machine.

    Some that an environment may name (`socks://`, a NO_PROXY with IPv6) keep its HTTP library from
    making any client at all. Everybody else in this process keeps its proxies. Where this Prefect
    has no such clients nothing is changed.
    """
    with ExitStack() as undone:
        for kind in (getattr(base, name, None) for name in _CLIENTS):
            if kind is not None:
                undone.callback(setattr, kind, "__init__", kind.__init__)
                kind.__init__ = _direct(kind.__init__)
        yield


def _direct(prefects: Callable[..., None]) -> Callable[..., None]:
    @wraps(prefects)
    def init(*args: Any, **words: Any) -> None:
        if is_loopback(str(words.get("base_url", ""))):
            words.setdefault("trust_env", False)
        prefects(*args, **words)

    return init


@contextmanager
def fresh_log_service() -> Iterator[None]:
    """At the end, discard Prefect's log service, which would keep this server's login for the next
    server at the same address. It still sends the lines that it has not sent yet."""
    try:
        yield
    finally:
        # on a thread: on a thread with a running event loop Prefect returns a coroutine instead
        ending = threading.Thread(target=APILogWorker.drain_all, kwargs={"timeout": 0})
        ending.start()
        ending.join()


def _probe() -> str | None:
    missing = [name for name in _CLIENTS if not hasattr(base, name)]
    return f"it has no {', '.join(missing)}" if missing else None


HOOK = Hook(
    name="no proxy on this machine",
    does="has Prefect's clients reach a server on this machine without a proxy",
    without="a proxy that its HTTP library refuses (socks://) keeps sweeps from starting",
    gain="sweeps start on desktops that name such a proxy (3.8.8)",
    proven="3.8.8",
    probe=_probe,
)
