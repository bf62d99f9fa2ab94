"""A loopback Argus server of ours: routes and semantics of the real one, a log of what it received,
and faults on demand.

In a test: `with ArgusServer() as server: ... server.url ... server.rows(batch_id)`.
As a process that can be killed and started again: `ServerProcess(folder)`.
"""

from __future__ import annotations

import argparse
import contextlib
import email.message
import email.parser
import gzip
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.request import Request, urlopen

from tests.event_model import envelope_error, strict_json

MAX_EVENTS = 500
MAX_FILE = 50 * 1024 * 1024


_EVENT_ID = re.compile(r'"event_id": ?"([^"]+)"')


@dataclass
class Receipt:
    """One request as it came in, whatever became of it."""

    at: float
    method: str
    route: str
    status: int | None
    event_ids: list[str]
    size: int
    token: str
    encoding: str = ""


@dataclass
class Faults:
    """What goes wrong. Everything off: a healthy server. `times` counts down where it is set."""

    status: int | None = None
    times: int | None = None
    retry_after: str | None = None
    only: str = ""
    """Only routes that contain this."""
    black_hole: bool = False
    drip_s: float = 0.0
    drip_headers: bool = False
    reset_after: int | None = None
    """Store, send this many bytes of the answer, then reset the connection."""
    slow_s: float = 0.0
    budget: tuple[float, float] | None = None
    """Requests a second and burst; over it 429 with Retry-After."""
    poison: list[str] = field(default_factory=list)
    """A request with an event whose JSON contains one of these is refused whole (422)."""
    poison_status: int = 422
    reject: list[str] = field(default_factory=list)
    """An event whose JSON contains one of these is rejected, the others stand."""
    garbage: bool = False
    """200 with HTML."""


class ArgusServer:
    """The server. Rows are in the order in which they were stored."""

    def __init__(self, *, port: int = 0, store: Path | None = None, validate: bool = True) -> None:
        self.faults = Faults()
        self.tokens: set[str] | None = None
        self.stopping: dict[str, Any] = {}
        self.stop_answer: tuple[int, str] | None = None
        """Answer the stop route with this instead."""
        self.batch_artifacts = False
        self.takes_gzip = False
        self.validate = validate
        self.receipts: list[Receipt] = []
        self.artifacts: list[dict[str, Any]] = []
        self._rows: dict[str, dict[str, Any]] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._jobs: dict[str, dict[str, Any]] = {}
        self._lock = threading.RLock()
        self._tokens_left = 0.0
        self._tokens_at = 0.0
        self._store = store
        self.released = threading.Event()
        if store is not None and store.exists():
            for line in store.read_bytes().splitlines():
                with contextlib.suppress(ValueError):
                    self._keep(json.loads(line))
        self._http = _Server(("127.0.0.1", port), _Handler)
        self._http.argus = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def port(self) -> int:
        return int(self._http.server_port)

    def start(self) -> ArgusServer:
        self._thread.start()
        return self

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> ArgusServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- What tests ask ---

    def rows(
        self, batch_id: str | None = None, event_type: str | None = None
    ) -> list[dict[str, Any]]:
        """Stored events, in order, each once."""
        with self._lock:
            found = list(self._rows.values())
        return [
            row
            for row in found
            if (batch_id is None or row["batch_id"] == batch_id)
            and (event_type is None or row["event_type"] == event_type)
        ]

    def batch(self, batch_id: str) -> dict[str, Any]:
        with self._lock:
            return dict(self._batches.get(batch_id, {}))

    def job(self, job_id: str) -> dict[str, Any]:
        with self._lock:
            return dict(self._jobs.get(job_id, {}))

    def jobs(self, batch_id: str) -> dict[str, dict[str, Any]]:
        with self._lock:
            return {key: dict(job) for key, job in self._jobs.items() if job["batch"] == batch_id}

    def received(self) -> Counter[str]:
        """How often each event id came in, stored or not."""
        return Counter(
            event_id for receipt in list(self.receipts) for event_id in receipt.event_ids
        )

    def press_stop(self, batch_id: str, by: str = "someone") -> None:
        """The monitor's stop button."""
        with self._lock:
            self._batches.setdefault(batch_id, {"status": "running"})["status"] = "stopping"
            self.stopping[batch_id] = by

    def heal(self) -> None:
        """No faults from now on."""
        self.faults = Faults()
        self.released.set()
        self.released = threading.Event()

    def wait_for(self, condition: Callable[[ArgusServer], bool], timeout_s: float = 60.0) -> bool:
        """Wait until the condition holds."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if condition(self):
                return True
            time.sleep(0.01)
        return condition(self)

    # --- Semantics ---

    def take_events(self, events: list[Any]) -> list[dict[str, Any]]:
        results, fresh = [], []
        with self._lock:
            for event in events:
                text = json.dumps(event) if self.faults.reject else ""
                if self.faults.reject and any(mark in text for mark in self.faults.reject):
                    results.append(_result(event, "rejected", "refused by the test"))
                elif event["event_id"] in self._rows:
                    results.append(_result(event, "deduplicated", None))
                else:
                    self._keep(event)
                    fresh.append(event)
                    results.append(_result(event, "accepted", None))
            if fresh and self._store is not None:
                with self._store.open("ab") as handle:
                    handle.write(b"".join(json.dumps(one).encode() + b"\n" for one in fresh))
        return results

    def take_unread(self, body: bytes) -> dict[str, Any]:
        """Without validation: kept as it came, read when somebody asks. Fast enough that a
        benchmark measures its client."""
        if self._store is not None:
            with self._lock, self._store.open("ab") as handle:
                handle.write(body + b"\n")
        ids = _EVENT_ID.findall(body.decode())
        results = [{"event_id": one, "status": "accepted", "db_id": 1} for one in ids]
        return {"accepted": len(ids), "rejected": 0, "results": results}

    def _keep(self, event: dict[str, Any]) -> None:
        self._rows[event["event_id"]] = event
        self._apply(event)

    def _apply(self, event: dict[str, Any]) -> None:
        kind, data, batch_id = event["event_type"], event.get("data", {}), event["batch_id"]
        batch = self._batches.setdefault(batch_id, {"status": "running"})
        if kind == "batch_start":
            batch.setdefault("started_at", event["timestamp"])
            if batch["status"] != "done":
                batch["status"] = "running"
                self.stopping.pop(batch_id, None)
            batch["start"] = data
        elif kind == "batch_done":
            batch |= {"status": "done", "end": data}
        elif kind == "batch_failed":
            batch |= {"status": "failed", "end": data}
        elif kind == "env_snapshot":
            batch.setdefault("env", data)
        if kind in ("job_start", "job_done", "job_failed"):
            job = self._jobs.setdefault(event["job_id"], {"batch": batch_id})
            if job["batch"] != batch_id:
                job["ambiguous"] = True
            if kind == "job_start":
                job |= {"status": "running", "extra": data}
            else:
                default = "DONE" if kind == "job_done" else "failed"
                job |= {"status": str(data.get("status", default)).lower(), "end": data}
            mine = [one for one in self._jobs.values() if one["batch"] == batch_id]
            batch["n_done"] = sum(one.get("status") == "done" for one in mine)
            batch["n_failed"] = sum(one.get("status") == "failed" for one in mine)

    def over_budget(self) -> float | None:
        """Seconds to wait, where the budget is used up."""
        if self.faults.budget is None:
            return None
        rate, burst = self.faults.budget
        with self._lock:
            now = time.monotonic()
            if not self._tokens_at:
                self._tokens_left = burst
            else:
                self._tokens_left = min(burst, self._tokens_left + (now - self._tokens_at) * rate)
            self._tokens_at = now
            if self._tokens_left >= 1:
                self._tokens_left -= 1
                return None
            return (1 - self._tokens_left) / rate


def _result(event: dict[str, Any], status: str, error: str | None) -> dict[str, Any]:
    return {"event_id": event["event_id"], "status": status, "db_id": 1, "error": error}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    argus: ArgusServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed break connections: that is what the tests are for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        argus = self.server.argus
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/_"):
            self._control(method, body)
            return
        receipt = Receipt(
            time.time(),
            method,
            self.path,
            None,
            [],
            len(body),
            self.headers.get("Authorization", "").removeprefix("Bearer "),
            self.headers.get("Content-Encoding", ""),
        )
        argus.receipts.append(receipt)
        faults = argus.faults
        if faults.only and faults.only not in self.path:
            faults = Faults()
        if receipt.encoding == "gzip" and argus.takes_gzip:
            body = gzip.decompress(body)
        if self.path.startswith("/api/events") and not argus.validate:
            receipt.event_ids = _EVENT_ID.findall(body.decode())
        elif self.path == "/api/events/batch" and faults.status is None:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                receipt.event_ids = [event["event_id"] for event in json.loads(body)["events"]]
        if faults.black_hole:
            argus.released.wait(3600)
            self.close_connection = True
            return
        if faults.slow_s:
            argus.released.wait(faults.slow_s)
        status, answer, headers = self._answer(method, body, faults)
        receipt.status = status
        self._send(status, answer, headers, faults)

    def _answer(self, method: str, body: bytes, faults: Faults) -> tuple[int, Any, dict[str, str]]:
        argus = self.server.argus
        if faults.status is not None and (faults.times is None or faults.times > 0):
            if faults.times is not None:
                argus.faults.times = faults.times - 1
            extra = {"Retry-After": faults.retry_after} if faults.retry_after else {}
            return faults.status, {"detail": f"fault {faults.status}"}, extra
        wait = argus.over_budget()
        if wait is not None:
            return 429, {"detail": "too many requests"}, {"Retry-After": f"{wait:.2f}"}
        if argus.tokens is not None:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token not in argus.tokens:
                return 401, {"detail": "bad token"}, {}
        if faults.garbage:
            return 200, "<html>sign in</html>", {}
        if method == "POST" and self.path == "/api/events/batch":
            return self._events(body, faults)
        if method == "POST" and self.path == "/api/events":
            return self._one_event(body, faults)
        parts = self.path.strip("/").split("/")
        if method == "GET" and parts[:2] == ["api", "batches"] and parts[-1] == "stop-requested":
            return self._stop(unquote(parts[2]))
        if method == "POST" and parts[-1] == "artifacts" and len(parts) == 4:
            return self._artifact(parts[1], unquote(parts[2]), body)
        return 404, {"detail": "Not Found"}, {}

    def _events(self, body: bytes, faults: Faults) -> tuple[int, Any, dict[str, str]]:
        argus = self.server.argus
        if not argus.validate:
            return 200, argus.take_unread(body), {}
        if self.headers.get("Content-Encoding") and not argus.takes_gzip:
            return 415, {"detail": "no such encoding"}, {}
        try:
            events = (strict_json if argus.validate else json.loads)(body)["events"]
        except (ValueError, KeyError, TypeError) as error:
            return 422, {"detail": f"no JSON: {error}"}, {}
        if not isinstance(events, list) or not 1 <= len(events) <= MAX_EVENTS:
            return 422, {"detail": "1 to 500 events"}, {}
        if faults.poison:
            text = body.decode()
            if any(mark in text for mark in faults.poison):
                return faults.poison_status, {"detail": "poisoned"}, {}
        if argus.validate:
            for event in events:
                problem = envelope_error(event)
                if problem is not None:
                    return 422, {"detail": problem}, {}
        results = argus.take_events(events)
        rejected = sum(one["status"] == "rejected" for one in results)
        answer = {"accepted": len(results) - rejected, "rejected": rejected, "results": results}
        return 200, answer, {"Accept-Encoding": "gzip"} if argus.takes_gzip else {}

    def _one_event(self, body: bytes, faults: Faults) -> tuple[int, Any, dict[str, str]]:
        status, answer, headers = self._events(b'{"events":[' + body + b"]}", faults)
        if status != 200:
            return status, answer, headers
        one = answer["results"][0]
        done = one["status"] != "rejected"
        repeat = one["status"] == "deduplicated"
        return 200, {"accepted": done, "event_id": 1, "deduplicated": repeat}, headers

    def _stop(self, batch_id: str) -> tuple[int, Any, dict[str, str]]:
        argus = self.server.argus
        if argus.stop_answer is not None:
            return (*argus.stop_answer, {})
        batch = argus.batch(batch_id)
        if not batch:
            return 404, {"detail": "no such batch"}, {}
        asked = batch["status"] == "stopping"
        by = argus.stopping.get(batch_id)
        return 200, {"requested": asked, "requested_at": None, "requested_by": by}, {}

    def _artifact(self, owner: str, identity: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        argus = self.server.argus
        if owner == "batches" and not argus.batch_artifacts:
            return 404, {"detail": "Not Found"}, {}
        if owner == "jobs":
            job = argus.job(identity)
            if not job:
                return 404, {"detail": "no such job"}, {}
            if job.get("ambiguous"):
                return 500, {"detail": "more than one job"}, {}
        parts = _multipart(self.headers.get("Content-Type", ""), body)
        content = parts["file"][1]
        if len(content) > MAX_FILE:
            return 413, {"detail": "too large"}, {}
        artifact = {
            "owner": owner,
            "id": identity,
            "name": parts["file"][0],
            "content": content,
            "label": parts.get("label", ("", b""))[1].decode() or None,
            "meta": json.loads(parts.get("meta", ("", b"{}"))[1]),
        }
        argus.artifacts.append(artifact)
        return 201, {"id": len(argus.artifacts)}, {}

    def _send(self, status: int, answer: Any, headers: dict[str, str], faults: Faults) -> None:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        body = text.encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
        head += f"Date: {self.date_time_string()}\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{key}: {value}\r\n" for key, value in headers.items()) + "\r\n"
        raw = head.encode() + body
        if faults.reset_after is not None and (faults.times is None or faults.times > 0):
            if faults.times is not None:
                self.server.argus.faults.times = faults.times - 1
            self.connection.sendall(raw[: faults.reset_after])
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        if faults.drip_s:
            start = 0 if faults.drip_headers else len(head)
            self.connection.sendall(raw[:start])
            for index in range(start, len(raw)):
                if self.server.argus.released.wait(faults.drip_s):
                    break
                self.connection.sendall(raw[index : index + 1])
            else:
                return
            self.close_connection = True
            return
        self.connection.sendall(raw)

    def _control(self, method: str, body: bytes) -> None:
        """For `ServerProcess`: `/_faults` sets them, `/_receipts` tells what came in."""
        argus = self.server.argus
        answer: Any = {}
        if self.path == "/_faults":
            argus.heal()
            argus.faults = Faults(**json.loads(body))
        elif self.path == "/_receipts":
            answer = [vars(receipt) for receipt in argus.receipts]
        raw = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def _multipart(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser().parsebytes(head + body)
    parts: dict[str, tuple[str, bytes]] = {}
    payload = message.get_payload()
    assert isinstance(payload, list)
    for part in payload:
        assert isinstance(part, email.message.Message)
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        parts[name] = (part.get_filename() or "", content)
    return parts


class ServerProcess:
    """The server as a process of its own, with what it stored in a file: it can be killed, and
    comes back on the same port with what it had."""

    def __init__(self, folder: Path, *, validate: bool = True) -> None:
        self.store = folder / "server.jsonl"
        self._validate = validate
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> ServerProcess:
        command = [sys.executable, "-m", "tests.argus_server", "--port", str(self.port)]
        command += ["--store", os.fspath(self.store)] + ([] if self._validate else ["--fast"])
        root = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the server did not start"
        return self

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def set_faults(self, **faults: Any) -> None:
        """Faults from now on; none given: healthy."""
        request = Request(f"{self.url}/_faults", json.dumps(faults).encode(), method="POST")
        with urlopen(request) as answer:
            answer.read()

    def receipts(self) -> list[dict[str, Any]]:
        """What came in since the start."""
        with urlopen(f"{self.url}/_receipts") as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())
            return found

    def rows(self, batch_id: str | None = None) -> list[dict[str, Any]]:
        """Stored events, in order; works while the server is down."""
        return list(self._stored(batch_id))

    def _stored(self, batch_id: str | None) -> Iterator[dict[str, Any]]:
        if not self.store.exists():
            return
        for line in self.store.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                for row in value.get("events", [value]):
                    if batch_id is None or row["batch_id"] == batch_id:
                        yield row

    def __enter__(self) -> ServerProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


def main() -> None:
    """`python -m tests.argus_server --port N --store FILE`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--fast", action="store_true", help="do not validate")
    args = parser.parse_args()
    server = ArgusServer(port=args.port, store=args.store, validate=not args.fast)
    print(server.url, flush=True)
    server.start()
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


if __name__ == "__main__":
    main()
