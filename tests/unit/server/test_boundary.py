from __future__ import annotations

import pytest

from argus_tasks.server.request_filter import refusal

HOST = (b"Host", b"127.0.0.1:4200")


@pytest.mark.parametrize(
    "headers",
    [
        [HOST],
        [(b"host", b"localhost:9")],  # a tunnel to it
        [(b"host", b"[::1]:4200")],
        [HOST, (b"Origin", b"http://127.0.0.1:4200")],
    ],
)
def test_its_own(headers: list[tuple[bytes, bytes]]) -> None:
    assert refusal(headers) == ""


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"")],
        [(b"host", b"evil.example:4200")],
        [(b"host", b"127.0.0.1.evil.example")],
        [(b"host", b"evil.example@127.0.0.1")],
        [(b"host", b"127.0.0.1\xff")],
        [HOST, (b"host", b"evil.example")],
        [HOST, (b"origin", b"http://evil.example")],
        [HOST, (b"origin", b"http://127.0.0.1:8888")],  # another user's page on this machine
        [HOST, (b"origin", b"http://localhost:4200")],
        [HOST, (b"origin", b"https://127.0.0.1:4200")],
        [HOST, (b"origin", b"null")],
        [HOST, (b"origin", b"http://127.0.0.1:4200"), (b"origin", b"http://evil.example")],
    ],
)
def test_what_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    assert refusal(headers)
