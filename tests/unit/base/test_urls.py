from __future__ import annotations

import pytest

from argus_tasks.base.urls import is_in_the_clear, is_loopback

HERE = ["http://127.0.0.1:4200/api", "https://localhost", "http://[::1]:1/", "HTTP://127.9.9.9"]
AWAY = [
    "http://10.0.0.1",
    "http://localhost.example",
    "http://127.0.0.1.example",
    "http://[::1",
]


@pytest.mark.parametrize("url", HERE)
def test_here(url: str) -> None:
    assert is_loopback(url)
    assert not is_in_the_clear(url)


@pytest.mark.parametrize("url", AWAY)
def test_away(url: str) -> None:
    assert not is_loopback(url)
    assert is_in_the_clear(url)
    assert not is_in_the_clear(url.replace("http:", "https:"))
