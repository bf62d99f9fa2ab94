"""Who may not use the embedded server: other users, pages of others, who has not the login."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from argus_tasks.server.folder import Folder

SOCKETS = ("/events/in", "/events/out", "/logs/out", "/task_runs/subscriptions/scheduled")
AS_ANOTHER = """
import encodings.idna, http.client, json, os, sys  # before: their files may be closed to others
os.setgroups([]), os.setgid(65534), os.setuid(65534)
port, requests, root, pid = json.loads(sys.stdin.read())
statuses = []
for path, body in requests:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    statuses.append(connection.getresponse().status)
def opens(path):
    try:
        return bool(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read())
    except OSError:
        return False
places = [root, root + "/login", root + "/server.json", root + "/home", f"/proc/{pid}/environ"]
print(json.dumps([statuses, [place for place in places if opens(place)]]))
"""


def ask(
    api_url: str, path: str, body: Any, headers: dict[str, str], method: str = "POST"
) -> http.client.HTTPResponse:
    place = urlsplit(api_url)
    with closing(http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)) as line:
        line.putrequest(method, place.path + path, skip_host="Host" in headers)
        data = json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
        for name, value in sent.items():
            line.putheader(name, value)
        line.endheaders(data)
        answer = line.getresponse()
        answer.text = answer.read().decode()  # type: ignore[attr-defined]
        return answer


def with_login() -> dict[str, str]:
    login = os.environ["PREFECT_API_AUTH_STRING"]
    return {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}


def answer(api_url: str, path: str, body: Any) -> Any:
    until = time.monotonic() + 60
    while (found := ask(api_url, path, body, with_login())).status == 503:  # its database is busy
        assert time.monotonic() < until
    assert found.status in (200, 201), found.status
    return json.loads(found.text)  # type: ignore[attr-defined]


class Target:
    """A deployment to be run, and a flow run to be cancelled and read."""

    def __init__(self, api_url: str) -> None:
        self.api_url = api_url
        flow = answer(api_url, "/flows/", {"name": "sweep"})["id"]
        body = {"name": uuid.uuid4().hex, "flow_id": flow, "entrypoint": "x:y"}
        self.deployment = answer(api_url, "/deployments/", body)["id"]
        running = {"flow_id": flow, "state": {"type": "RUNNING"}}
        self.flow_run = answer(api_url, "/flow_runs/", running)["id"]
        self.acts: list[tuple[str, Any]] = [
            (
                f"/deployments/{self.deployment}/create_flow_run",
                {"parameters": {"experiment": "command:/bin/sh -c true"}},
            ),
            (f"/flow_runs/{self.flow_run}/set_state", {"state": {"type": "CANCELLING"}}),
            ("/flow_runs/filter", {"limit": 1}),
            ("/logs/filter", {"limit": 1}),
            ("/artifacts/filter", {"limit": 1}),
        ]

    def assert_untouched(self) -> None:
        body = {"deployments": {"id": {"any_": [self.deployment]}}}
        assert answer(self.api_url, "/flow_runs/count", body) == 0
        runs = answer(
            self.api_url, "/flow_runs/filter", {"flow_runs": {"id": {"any_": [self.flow_run]}}}
        )
        assert runs[0]["state_type"] == "RUNNING"


@pytest.fixture
def target(api_url: str) -> Target:
    return Target(api_url)


WAYS: dict[str, tuple[Callable[[], dict[str, str]], int]] = {
    "no login": (dict, 401),
    "a wrong login": (lambda: {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()}, 401),
    "a foreign page": (lambda: {"Origin": "http://evil.example"}, 403),
    "a foreign page, with the login": (
        lambda: {**with_login(), "Origin": "http://127.0.0.1:9"},
        403,
    ),
    "a page of no origin, with the login": (lambda: {**with_login(), "Origin": "null"}, 403),
    "another name, with the login": (lambda: {**with_login(), "Host": "evil.example"}, 403),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_in_is_refused(target: Target, way: str) -> None:
    headers, status = WAYS[way]
    for path, body in target.acts:
        refused = ask(target.api_url, path, body, headers())
        assert (path, refused.status) == (path, status)
        assert refused.headers["access-control-allow-origin"] is None
    target.assert_untouched()


def test_the_login_is_let_in(target: Target) -> None:
    for path, body in target.acts:
        answer(target.api_url, path, body)
    with pytest.raises(AssertionError):
        target.assert_untouched()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_gets_in_nowhere(target: Target) -> None:
    place = urlsplit(target.api_url)
    folder = Folder.of_this_host()
    record = folder.read()
    assert record is not None
    pid = folder.pid_of(record.instance)
    requests = [(place.path + path, body) for path, body in target.acts]
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER],
        input=json.dumps([place.port, requests, str(folder.root), pid]),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert json.loads(done.stdout or "null") == [[401] * len(requests), []], done.stderr
    target.assert_untouched()


def test_only_its_own_page_is_told_that_it_may(api_url: str) -> None:
    own = api_url.removesuffix("/api")
    asked = {"Access-Control-Request-Method": "POST"}
    allowed = ask(api_url, "/flow_runs/filter", {}, {**asked, "Origin": own}, "OPTIONS")
    assert allowed.headers["access-control-allow-origin"] == own
    foreign = {**asked, "Origin": "http://evil.example"}
    refused = ask(api_url, "/flow_runs/filter", {}, foreign, "OPTIONS")
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (403, None)


def shaken(api_url: str, path: str, token: str | None, **words: Any) -> str:
    """What a websocket's first answer is: `auth_success`, or why it is closed."""
    with_subprotocol = {"subprotocols": [Subprotocol("prefect")]} if token is not None else {}
    try:
        with connect(
            api_url.replace("http", "ws") + path, proxy=None, **with_subprotocol, **words
        ) as line:
            if token is not None:
                line.send(json.dumps({"type": "auth", "token": token}))
            return str(json.loads(line.recv(20))["type"])
    except ConnectionClosed as error:
        return f"closed {error.rcvd.code if error.rcvd else None}"
    except InvalidStatus as error:
        return f"refused {error.response.status_code}"


@pytest.mark.parametrize("path", SOCKETS)
def test_websockets_ask_for_it_too(api_url: str, path: str) -> None:
    login = os.environ["PREFECT_API_AUTH_STRING"]
    assert shaken(api_url, path, login) == "auth_success"
    assert shaken(api_url, path, None) == "refused 403"
    assert shaken(api_url, path, "") == "closed 1008"
    assert shaken(api_url, path, "argus-tasks:wrong") == "closed 1008"
    assert shaken(api_url, path, login, origin="http://evil.example") == "refused 403"
    place = urlsplit(api_url)
    rebound = f"http://evil.example:{place.port}/api"
    direct = socket.create_connection((place.hostname, place.port))
    assert shaken(rebound, path, login, sock=direct) == "refused 403"


def test_the_login_is_in_no_command_line(api_url: str) -> None:
    login = os.environ["PREFECT_API_AUTH_STRING"].encode()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert login not in each.read_bytes(), each
        except OSError:
            continue
