"""HTTP to an Argus server. The only module that imports httpx, at the first request."""

from __future__ import annotations

import email.utils
import gzip
import json
import logging
import mimetypes
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from argus_tasks.base.redact import redact
from argus_tasks.base.urls import is_loopback

if TYPE_CHECKING:
    import httpx

_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 30.0
_REQUEST_DEADLINE_S = 60.0
_UPLOAD_DEADLINE_S = 900.0
_LONGEST_RETRY_AFTER_S = 3600.0
_LONGEST_BODY = 4 * 1024 * 1024
_GZIP_FROM_BYTES = 1024


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    Attributes:
        status: the HTTP status; None where no whole answer was received.
        body: the value of its JSON.
        text: its beginning, of an answer that is no success.
        retry_after_s: the pause that the server asks for, in seconds.
        error: why no answer was received.
        date: the server's time, in seconds since the epoch.
        location: where a redirect leads.
    """

    status: int | None
    body: Any = None
    text: str = ""
    retry_after_s: float | None = None
    error: str = ""
    date: float | None = None
    location: str = ""

    @property
    def words(self) -> str:
        """The answer in a few words, for messages."""
        if self.status is None:
            return self.error
        return (
            f"{self.status}: {redact(self.text[:500]).strip()}" if self.text else str(self.status)
        )


class Transport(Protocol):
    """The requests that a sender makes."""

    def post_events(self, lines: Sequence[bytes]) -> Answer:
        """Send events, each one line of JSON."""
        ...

    def upload(
        self, owner: str, identity: str, path: Path, label: str | None, meta: dict[str, Any]
    ) -> Answer:
        """Send a file to a job (`owner` "jobs") or a batch ("batches"). Errors: OSError where the
        file cannot be read."""
        ...

    def stop_requested(self, batch_id: str) -> Answer:
        """Ask whether a stop of the batch was requested."""
        ...

    def reach(self) -> Answer:
        """Send a small request, to see whether the server answers and accepts the token."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class HttpTransport:
    """A persistent connection to one server. Use it from one thread at a time."""

    def __init__(self, url: str, token: Callable[[], str | None]) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._client: httpx.Client | None = None
        self._socket: socket.socket | None = None
        self.takes_gzip = False

    def post_events(self, lines: Sequence[bytes]) -> Answer:
        """Send events, each one line of JSON."""
        body = b'{"events":[' + b",".join(lines).replace(b"\n", b"") + b"]}"
        headers = {"Content-Type": "application/json"}
        zipped = self.takes_gzip and len(body) >= _GZIP_FROM_BYTES
        if zipped:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        answer = self._request("POST", "/api/events/batch", content=body, headers=headers)
        if zipped and answer.status in (400, 415):
            self.takes_gzip = False
            return self.post_events(lines)
        return answer

    def upload(
        self, owner: str, identity: str, path: Path, label: str | None, meta: dict[str, Any]
    ) -> Answer:
        """Send a file, streamed from the disk. Errors: OSError where it cannot be read."""
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        data = {"meta": json.dumps(meta, ensure_ascii=False)}
        if label is not None:
            data["label"] = label
        with path.open("rb") as handle:
            return self._request(
                "POST",
                f"/api/{owner}/{quote(identity, safe='')}/artifacts",
                files={"file": (path.name, handle, kind)},
                data=data,
                deadline_s=_UPLOAD_DEADLINE_S,
            )

    def stop_requested(self, batch_id: str) -> Answer:
        """Ask whether a stop of the batch was requested."""
        return self._request("GET", f"/api/batches/{quote(batch_id, safe='')}/stop-requested")

    def reach(self) -> Answer:
        """Send a request without events: a server that accepts the token answers 422."""
        return self._request(
            "POST",
            "/api/events/batch",
            content=b'{"events":[]}',
            headers={"Content-Type": "application/json"},
        )

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self._watch(None)

    def _request(
        self, method: str, route: str, *, deadline_s: float = _REQUEST_DEADLINE_S, **content: Any
    ) -> Answer:
        import httpx

        try:
            client = self._client or self._open()
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            return Answer(None, error=f"a proxy of the environment cannot be used: {error}")
        headers = {**content.pop("headers", {}), **self._authorization()}
        # A read timeout restarts with every byte, so a slow server needs a total limit as well.
        watchdog = threading.Timer(deadline_s, self._cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            with client.stream(
                method,
                self._url + route,
                headers=headers,
                extensions={"trace": self._trace},
                **content,
            ) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > _LONGEST_BODY:
                        return Answer(None, error="the answer has no end")
                return self._answer(response, bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            self.close()
            words = redact(str(error) or type(error).__name__)
            return Answer(None, error=f"{type(error).__name__}: {words}")
        finally:
            watchdog.cancel()

    def _open(self) -> httpx.Client:
        import httpx

        # httpx logs every request at INFO, which would fill a training's log.
        logging.getLogger("httpx").addFilter(_not_ours)
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._client = httpx.Client(
            timeout=httpx.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
            limits=limits,
            # requests to this machine use no proxy
            transport=httpx.HTTPTransport(limits=limits) if is_loopback(self._url) else None,
            headers={"User-Agent": f"argus-tasks/{version('argus-tasks')}"},
            follow_redirects=False,
        )
        return self._client

    def _authorization(self) -> dict[str, str]:
        token = self._token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _trace(self, name: str, info: dict[str, Any]) -> None:
        if name == "connection.connect_tcp.complete":
            found = info["return_value"].get_extra_info("socket")
            # A second descriptor: TLS takes the first one over, and leaves an empty socket.
            self._watch(found.dup() if found is not None else None)

    def _watch(self, connection: socket.socket | None) -> None:
        before, self._socket = self._socket, connection
        if before is not None:
            before.close()

    def _cut(self) -> None:
        connection = self._socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, response: httpx.Response, body: bytes) -> Answer:
        if "gzip" in response.headers.get("Accept-Encoding", "").lower():
            self.takes_gzip = True
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        text = body[:2000].decode("utf-8", "replace") if response.status_code >= 300 else ""
        return Answer(
            response.status_code,
            value,
            text,
            parse_retry_after(response.headers.get("Retry-After"), time.time()),
            date=_http_date(response.headers.get("Date")),
            location=redact(response.headers.get("Location", "")),
        )


def _not_ours(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith("argus-")


def parse_retry_after(value: str | None, now: float) -> float | None:
    """The pause of a `Retry-After` header (seconds or an HTTP date), in seconds.

    Args:
        value: the header; None where there is none.
        now: the time, in seconds since the epoch.

    Returns:
        At most an hour, so that a wrong header cannot stop the delivery; None without a pause.
    """
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        moment = _http_date(text)
        if moment is None:
            return None
        seconds = moment - now
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)


def _http_date(value: str | None) -> float | None:
    if not value:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
