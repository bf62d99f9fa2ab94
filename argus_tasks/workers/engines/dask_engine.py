"""The dask engine: uses dask's own client from the threads of the flow's process."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.workers.engines import dask_node
from argus_tasks.workers.engines.dask_local import LocalDask
from argus_tasks.workers.engines.engine_messages import EngineLost, NodeLost, NodeSender

_CONNECT_S = 10.0
_LEAVE_S = 5.0
_LOOK_S = 0.2


class DaskEngine:
    """A dask cluster at an address; without an address, one that is started on this machine."""

    def __init__(self, address: str | None, runs_at_once: int) -> None:
        self._given = address
        self._runs_at_once = runs_at_once
        self._local: LocalDask | None = None
        self._client: Any = None
        self._lock = threading.Lock()
        self._waiting: set[Any] = set()
        self._over = False

    @property
    def place(self) -> str:
        """The engine and its address, for messages."""
        return f"dask at {self._given}" if self._given else "dask on this machine"

    def open(self) -> None:
        """Connect. Raises BadInput if nobody answers."""
        from distributed import Client

        # It warns when an attempt or a node ends, which the sweep reports itself.
        logging.getLogger("distributed.client").setLevel(logging.ERROR)
        self._let_go()
        security = None
        address = self._given
        if address is None:
            self._local = LocalDask(self._runs_at_once)
            address, security = self._local.address, self._local.security
        try:
            self._client = Client(  # type: ignore[no-untyped-call]
                address,
                timeout=_CONNECT_S,
                security=security,
                set_as_default=False,
                name="argus-tasks",
            )
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            raise BadInput(
                f"address is '{address}', but no dask scheduler answers there:"
                f" {error or type(error).__name__}."
            ) from error

    def prepare(self, sender: NodeSender, waiting: Callable[[], bool]) -> str:
        """Prepare the nodes, as `Engine.prepare` says."""
        while waiting():
            with suppress(TimeoutError):
                self._client.wait_for_workers(1, timeout=_LOOK_S)
                break
        else:
            return ""
        answers = self._client.run(dask_node.prepare, astuple(sender), on_error="return")
        for node, answer in answers.items():
            if isinstance(answer, BaseException):
                return f"the dask worker {node} cannot be used: {_say(answer)}"
            if answer:
                return str(answer)
        return ""

    def ask(self, sender: NodeSender, what: str, request: bytes) -> bytes:
        """Send a request to any one node. Raises NodeLost, or EngineLost if the cluster is gone."""
        client = self._client
        if client is None or client.status != "running":
            raise EngineLost(f"{self.place} is gone")
        from distributed import CancelledError
        from distributed.scheduler import KilledWorker

        future = client.submit(
            dask_node.serve,
            astuple(sender),
            what,
            request,
            key=f"argus-{what}-{uuid.uuid4().hex}",
            pure=False,
            retries=0,
        )
        with self._lock:
            self._waiting.add(future)
            over = self._over
        if over:
            future.cancel(force=True)
        try:
            answer: bytes = future.result()
        except KilledWorker as error:
            raise NodeLost(f"the dask worker {error.last_worker.address} is gone") from None
        except CancelledError:
            if self._over:
                raise NodeLost("stopped") from None
            raise EngineLost(f"{self.place} is gone") from None
        except ImportError as error:
            raise BadInput(f"a dask worker cannot be used: {_say(error)}.") from error
        finally:
            with self._lock:
                self._waiting.discard(future)
            with suppress(Exception):
                future.release()
        return answer

    def broadcast(self, sweep: str, what: str, value: str | float | None) -> None:
        """Send a message to every node; nodes that cannot be reached miss it."""
        client = self._client
        if client is None or client.status != "running":
            return
        with suppress(Exception):
            client.run(dask_node.receive, sweep, what, value, on_error="ignore")

    def abandon(self) -> None:
        """Stop waiting for answers."""
        with self._lock:
            self._over = True
            waiting = list(self._waiting)
        for future in waiting:
            with suppress(Exception):
                future.cancel(force=True)

    def close(self) -> None:
        """Disconnect from the cluster; end it if it was started here."""
        self.abandon()
        self._let_go()

    def _let_go(self) -> None:
        client, self._client = self._client, None
        local, self._local = self._local, None
        if client is not None:
            with suppress(Exception):
                client.close(timeout=_LEAVE_S)
        if local is not None:
            local.close()


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
