"""Whether a text is the URL of a server, and whether that is this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_http_url(text: str) -> bool:
    """Whether a text is an http or https URL with a host."""
    try:
        parts = urlsplit(text.strip())
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is localhost or a loopback address (127.0.0.1, ::1).

    Another name that resolves to such an address does not count, because its owner can change that.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_in_the_clear(url: str) -> bool:
    """Whether a request to this URL is not encrypted: plain HTTP to another machine."""
    return url.lower().startswith("http://") and not is_loopback(url)
