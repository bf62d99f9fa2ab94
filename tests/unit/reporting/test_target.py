"""Where the URL and the token come from."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from argus_tasks.delivery.outbox_folder import folder_for
from argus_tasks.delivery.transport import parse_retry_after
from argus_tasks.reporting.target import read_token_file, server_url, token_source


def test_the_argument_wins_then_the_environment_then_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert server_url() is None
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "monitor.yaml").write_text("monitor_url: http://file:1/\n")
    assert server_url() == "http://file:1"
    (tmp_path / "configs" / "monitor.yaml").write_text("url: http://file:2\nmonitor_url: x\n")
    assert server_url() == "http://file:2"
    monkeypatch.setenv("ARGUS_URL", "http://env/")
    assert server_url() == "http://env"
    assert server_url("https://argument") == "https://argument"


@pytest.mark.parametrize("text", ["[", "- a\n- b", "url: 3", "url: nonsense", "\x00"])
def test_a_file_that_is_none(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "monitor.yaml").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert server_url() is None


def test_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("ARGUS_URL", "https://argus.example")
    url = "https://argus.example"
    assert token_source(url=url)() is None
    file = tmp_path / "argus-tasks" / "token"
    file.parent.mkdir()
    file.write_text("from-file\n")
    file.chmod(0o600)
    source = token_source(url=url)
    assert source() == "from-file"
    file.write_text("better")
    assert source() == "better"
    monkeypatch.setenv("ARGUS_TOKEN", "from-env")
    assert source() == "from-env"
    assert token_source("given", url=url)() == "given"


def test_the_home_s_token_goes_to_the_server_it_was_given_for_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "argus-tasks").mkdir()
    file = tmp_path / "argus-tasks" / "token"
    file.write_text("alone\nhttps://Team.example:443/ its-own\n")
    file.chmod(0o600)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "monitor.yaml").write_text("url: https://evil.example\n")
    url = server_url()
    assert url == "https://evil.example"
    assert token_source(url=url)() is None
    assert "is not sent to https://evil.example, which a file of the working folder" in caplog.text

    monkeypatch.setenv("ARGUS_URL", "https://argus.example/")
    assert token_source(url="https://argus.example")() == "alone"
    assert token_source(url="http://argus.example")() is None, "the same host, in the open"
    assert token_source(url="https://argus.example:8443")() is None
    assert token_source(url="https://named.example", named="https://named.example")() == "alone"
    assert token_source(url="https://team.example")() == "its-own", "named in the file itself"
    assert token_source(url=None)() is None


def test_another_user_s_token_file_is_not_used(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    file = tmp_path / "token"
    file.write_text("em_live_theirs")
    file.chmod(0o600)
    os.chown(file, 54321, -1)
    url = "https://argus.example"
    assert read_token_file(file, url, url) == (None, f"{file} belongs to another user")


def test_an_outbox_for_each_server() -> None:
    root = Path("/r")
    one, two = folder_for("http://a:1", root), folder_for("http://a:2", root)
    assert one != two
    assert folder_for("http://a:1/", root) == one
    assert folder_for("http://me:secret@a:1", root) == one
    assert folder_for(None, root).name == "no-server"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("1.5", 1.5),
        ("999999", 3600.0),
        ("nan", None),
        ("soon", None),
        (None, None),
        ("Wed, 21 Oct 2015 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, 1445412480.0) == seconds
