"""Uploads of files: a queue of small records in the outbox, sent one at a time."""

from __future__ import annotations

import logging
import os
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from argus_tasks.base.files import read_json, write_json
from argus_tasks.base.ids import slug
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.transport import Answer, Transport

log = logging.getLogger("argus_tasks")

_PAUSE_FIRST_S = 0.25
_PAUSE_LAST_S = 60.0
_PARKED_S = 30.0
_TRIES_UNKNOWN_JOB = 12
_TRIES_REFUSED = 4


def upload_record(
    path: Path,
    *,
    batch_id: str,
    job_id: str | None,
    label: str | None = None,
    to_batch: bool = False,
) -> dict[str, Any]:
    """The record of one upload, as the outbox stores it.

    Args:
        path: the file.
        batch_id: the batch.
        job_id: the job; for a file of the batch, the one that gets it from an older server.
        label: the artifact's label on the monitor.
        to_batch: whether the file belongs to the batch.

    Raises:
        OSError: the file cannot be read.
    """
    found = path.stat()
    return {
        "id": f"{time.time_ns():020d}-{secrets.token_hex(4)}",
        "batch_id": batch_id,
        "job_id": job_id,
        "to_batch": to_batch,
        "path": os.fspath(path.absolute()),
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "label": label,
    }


class Uploader:
    """Sends the queued uploads of one outbox. Only the elected sender uses it."""

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._transport = transport
        self._monotonic = monotonic
        self._jitter = jitter
        self._not_before: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._all_wait_until = 0.0
        self._failures = 0
        self._said = ""

    def queue(self) -> list[Path]:
        """The waiting records, the oldest first."""
        return queued(self._outbox)

    def step(self) -> bool:
        """Send at most one upload. True where there may be more to send."""
        now = self._monotonic()
        if now < self._all_wait_until:
            return False
        for record in self.queue():
            if self._not_before.get(record.name, 0.0) <= now:
                return self._send(record)
        return False

    def _send(self, record: Path) -> bool:
        try:
            upload = _checked(read_json(record))
            path = Path(upload["path"])
        except FileNotFoundError:
            return True
        except (OSError, ValueError, KeyError, TypeError) as error:
            upload = {"id": record.stem, "path": os.fspath(record)}
            return self._give_up(record, upload, f"its record cannot be read: {error!r}", None)
        try:
            found = path.stat()
            meta: dict[str, Any] = {"upload_id": upload["id"]}
            if (found.st_size, found.st_mtime_ns) != (upload["size"], upload["mtime_ns"]):
                log.warning("argus-tasks: %s changed before its upload; it is sent as it is", path)
                meta["changed_before_upload"] = True
            answer = self._post(upload, path, meta)
        except OSError as error:
            return self._give_up(record, upload, f"the file cannot be read: {error}", None)
        return self._settle(record, upload, answer)

    def _post(self, upload: dict[str, Any], path: Path, meta: dict[str, Any]) -> Answer:
        label = upload.get("label")
        if upload.get("to_batch"):
            answer = self._transport.upload("batches", upload["batch_id"], path, label, meta)
            if answer.status not in (404, 405) or not upload.get("job_id"):
                return answer
            label = label or "batch"
        return self._transport.upload("jobs", str(upload["job_id"]), path, label, meta)

    def _settle(self, record: Path, upload: dict[str, Any], answer: Answer) -> bool:
        status = answer.status
        if status is not None and 200 <= status < 300:
            record.unlink(missing_ok=True)
            self._forget(record)
            self._failures = 0
            return True
        if status in (401, 403):
            self._hold(answer, _PARKED_S)
            return False
        if status is None or status >= 500 or status in (408, 425, 429):
            pause_s = min(_PAUSE_FIRST_S * 2.0 ** min(self._failures, 16), _PAUSE_LAST_S)
            self._failures += 1
            self._hold(answer, pause_s * (0.5 + self._jitter() / 2))
            return False
        # The server may not know the job yet, or a proxy may refuse requests for a while.
        unknown_job = status in (404, 405) and upload.get("job_id")
        tries = self._tries.get(record.name, 0) + 1
        if tries < (_TRIES_UNKNOWN_JOB if unknown_job else _TRIES_REFUSED):
            self._tries[record.name] = tries
            pause_s = min(_PAUSE_FIRST_S * 2.0**tries, _PAUSE_LAST_S)
            self._not_before[record.name] = self._monotonic() + pause_s
            return True
        return self._give_up(record, upload, answer.words, status)

    def _hold(self, answer: Answer, pause_s: float) -> None:
        if answer.retry_after_s is not None:
            pause_s = answer.retry_after_s
        self._all_wait_until = self._monotonic() + pause_s
        if answer.words != self._said:
            self._said = answer.words
            log.warning("argus-tasks: uploads wait: %s", answer.words)

    def _give_up(
        self, record: Path, upload: dict[str, Any], reason: str, status: int | None
    ) -> bool:
        log.warning("argus-tasks: %s was not uploaded: %s", upload["path"], reason[:300])
        try:
            self._outbox.set_aside.put(line=b"", reason=reason, status=status, upload=upload)
            record.unlink(missing_ok=True)
        except (OSError, TimeoutError) as error:
            log.warning("argus-tasks: a refused upload could not be set aside: %s", error)
            self._not_before[record.name] = self._monotonic() + _PAUSE_LAST_S
            return True
        self._forget(record)
        return True

    def _forget(self, record: Path) -> None:
        self._not_before.pop(record.name, None)
        self._tries.pop(record.name, None)


def _checked(upload: Any) -> dict[str, Any]:
    """The record with checked types. Errors: ValueError, KeyError, TypeError."""
    texts = (upload["id"], upload["batch_id"], upload["path"])
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise ValueError(f"this is not the record of an upload: {upload!r}"[:200])
    return {**upload, "size": int(upload["size"]), "mtime_ns": int(upload["mtime_ns"])}


def queued(outbox: Outbox) -> list[Path]:
    """The records of uploads that can be sent now, the oldest first."""
    folder = outbox.folder / "uploads"
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(".json"))  # noqa: PTH208
    except OSError:
        return []


def queue_upload(outbox: Outbox, upload: dict[str, Any]) -> None:
    """Queue an upload, after the events before it have been delivered. Errors: OSError."""
    name = slug(str(upload.get("id")), 60)
    write_json(outbox.folder / "uploads" / f"{name}.json", upload)
