"""Whether a URL stays on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """True where the URL's host is this machine by its name or number: localhost, 127.0.0.1, ::1.

    A name that only resolves to it is not: whoever owns the name decides where it leads.
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
    """Whether a secret sent there can be read on its way: plain HTTP to another machine."""
    return url.lower().startswith("http://") and not is_loopback(url)
