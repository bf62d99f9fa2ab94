"""JSON with a checksum as its last key, so that a damaged file is noticed.

A disk, or a crash of the machine, may change a bit, zero a page or cut a file short.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

from argus_tasks.base.files import dumps

_SEAL = re.compile(rb',?"sum":(\d{1,10})\}\s*$')


def seal(value: Mapping[str, Any]) -> bytes:
    """The mapping as one line of compact JSON, with its checksum."""
    body = dumps(value).encode()
    comma = b"," if value else b""
    return b'%b%b"sum":%d}' % (body[:-1], comma, zlib.crc32(body))


def unseal(data: bytes) -> dict[str, Any]:
    """The inverse of `seal`. Older versions wrote no checksum; their text is accepted.

    Errors: ValueError where it is damaged.
    """
    found = _SEAL.search(data)
    body = data if found is None else data[: found.start()] + b"}"
    if found is not None and zlib.crc32(body) != int(found[1]):
        raise ValueError("the checksum is not that of the text")
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError("no mapping")
    return value
