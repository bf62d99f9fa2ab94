"""Which requests the embedded server accepts.

It is on the loopback, which a browser shares with every page that is open in it. A page of another
origin, or one whose own name has been made to lead here (DNS rebinding), is refused whatever else
it brings, over HTTP and websockets alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


class RequestFilter:
    """Wraps an ASGI application: accepts only requests to the loopback, from no other web page."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, or answer 403."""
        problem = refusal(scope["headers"]) if scope["type"] in ("http", "websocket") else ""
        if not problem:
            await self._application(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": problem})
            return
        from starlette.responses import PlainTextResponse

        await PlainTextResponse(problem, 403)(scope, receive, send)


def refusal(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Why a request with these headers is refused; empty where it is accepted."""
    pairs = [(name.lower(), value.decode("latin-1")) for name, value in headers]
    hosts = [value for name, value in pairs if name == b"host"]
    origins = {value for name, value in pairs if name == b"origin"}
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        return "this server answers only to the names of the loopback (localhost)"
    if origins - {f"http://{hosts[0]}"}:
        return "this server does not answer to web pages of other sites"
    return ""
