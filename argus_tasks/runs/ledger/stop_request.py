"""A request to stop a running sweep: a file in its batch folder."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import dumps, read_json, write_text_whole
from argus_tasks.runs.record.layout import STOP_FILE


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Who asks; `now`: running experiments get no time to end."""

    who: str
    now: bool


def request_stop(folder: str, who: str, *, now: bool) -> None:
    """Ask the session of this batch folder to stop; it deletes the file when it has read it.

    Errors: OSError.
    """
    said = {"at": utc_now_iso(), "who": who, "now": now}
    write_text_whole(f"{folder}/{STOP_FILE}", dumps(said) + "\n")


def stop_is_requested(folder: str) -> bool:
    """Whether there is a request that no session has read yet."""
    return os.path.exists(f"{folder}/{STOP_FILE}")  # noqa: PTH110


def take_stop_request(folder: str) -> StopRequest | None:
    """Read a request and delete its file; None where there is none."""
    path = f"{folder}/{STOP_FILE}"
    try:
        said = read_json(path)
    except OSError:
        return None
    except ValueError:
        said = {}
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108
    facts = said if isinstance(said, dict) else {}
    return StopRequest(str(facts.get("who") or "somebody"), facts.get("now") is True)
