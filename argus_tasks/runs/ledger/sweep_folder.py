"""A batch's folder `.sweep/<batch_id>/`: `sweep.json`, the plan and the ledger.

The ledger is append-only: each line is one event with its own checksum.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.base.boot import boot_id
from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.errors import BadInput
from argus_tasks.base.files import (
    PRIVATE,
    SHARED,
    append_line,
    dumps,
    ends_torn,
    open_to_append,
    read_json_lines,
    read_mapping,
    reserve_space,
    write_text_whole,
)
from argus_tasks.base.ids import new_batch_id
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.locks import ProcessLock, is_free, locked
from argus_tasks.base.processes import is_dead, shares_pid_space, this_process
from argus_tasks.base.redact import holds_secrets
from argus_tasks.runs.record.layout import (
    LEDGER_JSONL,
    PLAN_JSONL,
    SWEEP_FOLDER,
    SWEEP_JSON,
    is_plain,
)

SWEEP_SCHEMA_VERSION = 1
REMOVED = "removed"
"""The event of a ledger line that records the deletion of a run folder."""
TORN = "torn"
"""The event of a ledger line that records that a crash cut the line before it short."""

_RESERVE_BYTES = 1 << 17
_RESERVE_FILES = 8
"""A file system can run out of files as well as of bytes: a last word can take one of each."""
_STATE_LOCK = "sweep.lock"
_BATCH_LOCK = "lock"
_START_LOCK = "start.lock"

log = logging.getLogger("argus_tasks")


@dataclass(frozen=True, slots=True)
class SweepIdentity:
    """What makes two starts the same sweep under one results root."""

    project: str
    name: str
    experiment: str


class SweepFolder:
    """The folder `.sweep/<batch_id>/` of one batch; the first write creates it."""

    def __init__(self, results_root: Path, batch_id: str) -> None:
        self.batch_id = batch_id
        self.path = results_root / SWEEP_FOLDER / batch_id
        self._ledger: int | None = None
        self._alone = ProcessLock(str(self.path / _BATCH_LOCK))
        self._session = ""
        self._unwritten = b""
        self._reported = False
        self._reserve = [
            self.path / ("reserve" if n == 0 else f"reserve.{n}") for n in range(_RESERVE_FILES)
        ]
        self._lock = threading.Lock()

    def take(self) -> None:
        """Lock the batch for this process, until `close` or the process ends.

        Errors: BadInput where another process of this host has locked it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._alone.take():
            process = (self.sessions() or [{}])[-1].get("process") or {}
            raise BadInput(
                f"batch {self.batch_id} is being run by process {process.get('pid')} on"
                f" {process.get('host')}; wait for its end, stop it, or start anew (--fresh)."
            )

    def open_session(
        self,
        identity: SweepIdentity,
        *,
        git_sha: str | None,
        created_by: str,
        recipe: Mapping[str, Any] | None = None,
    ) -> str:
        """Record in `sweep.json` that a session starts, and its saved request (`recipe`, JSON).

        Returns the session's id.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        session = self._session = new_batch_id("session")
        with self._changing_state():
            state = self.state() or {
                "schema_version": SWEEP_SCHEMA_VERSION,
                "batch_id": self.batch_id,
                "project": identity.project,
                "name": identity.name,
                "experiment": identity.experiment,
                "git_sha": git_sha,
                "created_at": utc_now_iso(),
                "created_by": created_by,
                "sessions": [],
            }
            state["sessions"].append(
                {
                    "id": session,
                    "opened_at": utc_now_iso(),
                    "closed_at": None,
                    "how": None,
                    "process": this_process(),
                    "flow_run": None,
                    "recipe": recipe,
                }
            )
            self._write_state(state)
        self._ledger = open_to_append(self.path / LEDGER_JSONL)
        self._reserve_space()
        if ends_torn(self._ledger):
            torn = {"at": utc_now_iso(), "session": session, "event": TORN}
            self._unwritten = f"\n{checked_line(torn)}\n".encode()
        return session

    def close_session(self, session: str, how: str, reasons: Sequence[str] = ()) -> None:
        """Record in `sweep.json` how a session ended, and which rules stopped it. On a full disk it
        is only logged."""
        self.note_session(session, closed_at=utc_now_iso(), how=how, reasons=list(reasons))

    def note_session(self, session: str, **facts: Any) -> None:
        """Record facts of a session in `sweep.json`: `flow_run` is its flow run on a Prefect server
        (`id`, `server`, and `mirrored`: whether that server is known to agree with the ledger)."""
        try:
            with self._changing_state():
                state = self.state()
                if state is None:
                    return
                for entry in state["sessions"]:
                    if entry["id"] == session:
                        entry |= facts
                self._write_state(state)
        except OSError as error:
            log.warning("%s/%s cannot be written: %s", self.path, SWEEP_JSON, error)

    def write_plan(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write `plan.jsonl`: index, digest, job_id and config of every config, and, where JSON
        does not give back all of it, `given` (`base.given`)."""
        plain = [{key: to_jsonable(item) for key, item in line.items()} for line in lines]
        text = "".join(checked_line(line) + "\n" for line in plain)
        mode = PRIVATE if any(map(_is_private, plain)) else SHARED
        write_text_whole(self.path / PLAN_JSONL, text, mode=mode)

    def add_to_plan(self, line: Mapping[str, Any]) -> None:
        """Append a config to `plan.jsonl`: one line, one write call. Errors: OSError."""
        plain = {key: to_jsonable(item) for key, item in line.items()}
        if _is_private(plain):
            (self.path / PLAN_JSONL).chmod(PRIVATE)
        append_line(self.path / PLAN_JSONL, checked_line(plain))

    def sessions(self) -> list[dict[str, Any]]:
        """The batch's sessions, from `sweep.json`."""
        state = self.state()
        return list(state["sessions"]) if state else []

    def is_over(self, session: Mapping[str, Any]) -> bool:
        """Whether a session was closed, or its process is known to be gone."""
        root, process = self.path.parents[1], session.get("process") or {}
        return bool(session.get("closed_at")) or is_gone(root, self.batch_id, process)

    def facts(self) -> Iterator[dict[str, Any]]:
        """The ledger's lines of all sessions; a line whose run id is a path is left out."""
        for line in read_json_lines(self.path / LEDGER_JSONL):
            if isinstance(line, dict) and is_plain(line.get("run_id", "none")):
                yield line

    def job_ids(self) -> dict[str, str]:
        """The job id of each digest in the plan of the batch's last session."""
        return {line["digest"]: line["job_id"] for line in self.plan() if line.get("digest")}

    def plan(self) -> Iterator[dict[str, Any]]:
        """The configs of the batch's last session: index, digest, job_id, config.

        Errors: BadInput where the plan holds secrets and belongs to another user.
        """
        try:
            yield from read_json_lines(self.path / PLAN_JSONL)
        except PermissionError:
            raise BadInput(
                f"{self.path / PLAN_JSONL} can be read by its owner only, because its configs"
                " hold secrets."
            ) from None

    def note(self, **facts: Any) -> None:
        """Append an event to the ledger of the open session: one line, one write call.

        A line that does not fit on a full disk is written with the next one, or at the end.
        """
        if self._ledger is None:
            return
        line = checked_line({"at": utc_now_iso(), "session": self._session, **facts}) + "\n"
        with self._lock:
            self._unwritten += line.encode()
            self._write()

    def free_reserved_space(self) -> None:
        """Free the disk space that was reserved for the last lines; call it when no run is left."""
        with self._lock:
            if self._ledger is not None:
                for path in self._reserve:
                    path.unlink(missing_ok=True)
                self._write()

    def close(self) -> None:
        """Close the ledger's file."""
        with self._lock:
            if self._ledger is not None:
                self._write()
                os.close(self._ledger)
                self._ledger = None
        self._alone.give_back()

    def open_attempts(self) -> dict[str, dict[str, Any]]:
        """The attempts that have started and not ended, by this ledger: run id and start line."""
        found: dict[str, dict[str, Any]] = {}
        for fact in self.facts():
            if fact.get("event") == "started":
                found[str(fact.get("run_id"))] = fact
            elif fact.get("event") in ("ended", "closed"):
                found.pop(str(fact.get("run_id")), None)
        return found

    def _changing_state(self) -> AbstractContextManager[None]:
        """The lock for changing `sweep.json`, which other sessions and repairs change, too.

        Errors: OSError.
        """
        return locked(str(self.path / _STATE_LOCK))

    def _write_state(self, state: Mapping[str, Any]) -> None:
        searches = [(each.get("recipe") or {}).get("search") for each in state["sessions"]]
        mode = PRIVATE if any(map(holds_secrets, searches)) else SHARED
        write_text_whole(self.path / SWEEP_JSON, checked_json(state), sync=True, mode=mode)

    def _write(self) -> None:
        assert self._ledger is not None
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._ledger, self._unwritten) :]
            self._reported = False
        except OSError as error:
            if not self._reported:
                self._reported = True
                log.warning("%s/%s cannot be written yet: %s", self.path, LEDGER_JSONL, error)

    def _reserve_space(self) -> None:
        """Reserve disk space and files, so that the last lines can be written on a full disk."""
        with suppress(OSError):
            reserve_space(self._reserve[0], _RESERVE_BYTES)
            for path in self._reserve[1:]:
                path.touch(SHARED)

    def state(self) -> dict[str, Any] | None:
        """The content of `sweep.json`; None where it is missing or unreadable."""
        state = read_mapping(self.path / SWEEP_JSON)
        return state if "sessions" in state else None


def is_gone(results_root: Path, batch_id: str, process: Mapping[str, Any]) -> bool:
    """Whether the process that ran a batch is known to have ended.

    A process in another container of this machine is checked by the batch's lock, for its pid means
    nothing here.
    """
    return is_dead(process) or (
        process.get("boot_id") == boot_id() is not None
        and not shares_pid_space(process)
        and is_plain(batch_id)
        and is_free(f"{results_root}/{SWEEP_FOLDER}/{batch_id}/{_BATCH_LOCK}")
    )


def _is_private(line: Mapping[str, Any]) -> bool:
    """Whether a line of the plan may be read by its owner only: its config holds secrets."""
    return holds_secrets(line.get("config"))


def batches(results_root: Path) -> list[SweepFolder]:
    """Every batch under a results root, by its id."""
    found = sorted((results_root / SWEEP_FOLDER).glob(f"*/{SWEEP_JSON}"))
    return [SweepFolder(results_root, path.parent.name) for path in found]


def find_batch(results_root: Path, identity: SweepIdentity) -> str | None:
    """The newest batch of this sweep under this results root, also if the code has changed."""
    found: tuple[str, str] | None = None
    for folder in batches(results_root):
        state = folder.state() or {}
        if (state.get("project"), state.get("name"), state.get("experiment")) == (
            identity.project,
            identity.name,
            identity.experiment,
        ):
            found = max(found or ("", ""), (str(state.get("created_at")), folder.batch_id))
    return found[1] if found else None


@contextmanager
def first_start(results_root: Path, identity: SweepIdentity, batch_id: str) -> Iterator[None]:
    """A lock to hold from before a new batch is locked until its session is open: of several starts
    of one sweep at the same time, only the first makes a batch.

    Errors: BadInput where another start has made a batch meanwhile; OSError.
    """
    (results_root / SWEEP_FOLDER).mkdir(parents=True, exist_ok=True)
    with locked(str(results_root / SWEEP_FOLDER / _START_LOCK)):
        made = find_batch(results_root, identity)
        if made not in (None, batch_id):
            folder = SweepFolder(results_root, str(made))
            folder.take()
            folder.close()
            raise BadInput(
                f"batch {made} was started a moment ago; run the command again to continue it."
            )
        yield


def checked_line(facts: Mapping[str, Any]) -> str:
    """A ledger line: the facts as JSON, with `check`, the CRC-32 of that JSON without `check`."""
    text = dumps(facts)
    return f'{text[:-1]},"check":"{zlib.crc32(text.encode("utf-8")):08x}"}}'


def checked_json(value: Mapping[str, Any]) -> str:
    """Indented JSON whose last key `check` is the CRC-32 of the text without `check`."""
    facts = {key: item for key, item in value.items() if key != "check"}
    text = json.dumps(facts, ensure_ascii=False, allow_nan=False, indent=2)
    return f'{text[:-2]},\n  "check": "{zlib.crc32(text.encode("utf-8")):08x}"\n}}\n'


def json_holds(text: str) -> bool:
    """Whether the checksum in a text made by `checked_json` is right."""
    body, found, tail = text.rpartition(',\n  "check": "')
    if not found or len(tail) != 12 or tail[8:] != '"\n}\n':
        return False
    return f"{zlib.crc32((body + chr(10) + '}').encode('utf-8')):08x}" == tail[:8]


def line_holds(line: str) -> bool:
    """Whether the checksum of a ledger line is right."""
    body, found, tail = line.rstrip("\n").rpartition(',"check":"')
    if not found or not tail.endswith('"}'):
        return False
    return f"{zlib.crc32((body + '}').encode('utf-8')):08x}" == tail[:-2]
