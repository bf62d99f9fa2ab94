"""Claims: which session runs a config. A claim is a file for each digest under `.sweep/claims/`.

A claim is written to a temporary file and put in place by `link()`, which only one of several
processes can do, also on a network disk. Where the file system has no hard links (exFAT, many cloud
drives), it is created in place with O_EXCL; one that is read before it is complete has no owner and
holds for 15 minutes. A claim outlives a killed owner; a dead owner's claim is taken over by
renaming it away first.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import read_json
from argus_tasks.base.ids import new_batch_id
from argus_tasks.base.locks import locked
from argus_tasks.base.processes import shares_pid_space, this_process
from argus_tasks.runs.ledger.sweep_folder import checked_line, is_gone
from argus_tasks.runs.record.layout import CLAIMS_FOLDER, STARTS_JSONL, SWEEP_FOLDER, is_plain

RENEW_S = 60.0
"""Seconds between an owner's updates of its claims' times, which other hosts look at."""
DEAD_AFTER_S = 900.0
"""Seconds without an update after which the owner of another host's claim counts as dead."""

_OWNER_KEYS = ("host", "boot_id", "pid_namespace", "pid", "pid_started")
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK})
_TAKE_OVER = ".take-over"
# The open claimants of this process: a claim of a closed one is dead though its process lives.
_here: set[str] = set()

log = logging.getLogger("argus_tasks")


@dataclass(frozen=True, slots=True)
class Claim:
    """The content of a claim's file; `owner` is the result of `this_process()`."""

    path: str
    digest: str
    batch_id: str
    run_id: str
    claimant: str
    owner: Mapping[str, Any]

    def is_current(self) -> bool:
        """Whether the file still holds this claim; also True where the file cannot be read."""
        try:
            said = read_json(self.path)
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            return True
        if not isinstance(said, dict):
            return True
        return said.get("claimant") == self.claimant and said.get("run_id") == self.run_id


class Claims:
    """The claims of one session; safe to use from many threads.

    Errors of all methods: OSError where the folder cannot be written.
    """

    def __init__(
        self, results_root: Path, batch_id: str, *, owner: Mapping[str, Any] | None = None
    ) -> None:
        self._folder = claims_folder(results_root)
        self._batch_id = batch_id
        self._owner = dict(owner or this_process())
        self._claimant = new_batch_id("claimant")
        self._beside = f"{self._folder}/.{self._claimant}"
        self._links = True
        self._mine: dict[str, Claim] = {}
        self._taken_over: dict[str, Claim] = {}
        self._lock = threading.Lock()

    def open(self) -> None:
        """Create the folder; earlier claims that this process left open count as dead from now
        on."""
        os.makedirs(self._folder, exist_ok=True)  # noqa: PTH103
        _here.add(self._claimant)
        now = self._now()
        for name in os.listdir(self._folder):  # noqa: PTH208 - temporary files of killed processes
            path = f"{self._folder}/{name}"
            if name.startswith((".claimant-", ".dead-")) and now - _touched(path) > DEAD_AFTER_S:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108

    def take(self, digest: str, run_id: str) -> Claim | None:
        """Claim a digest for a run.

        Returns the claim, also where this session already has it; None where another session that
        may be alive has it.
        """
        with self._lock:
            if digest in self._mine:
                return self._mine[digest]
            claim = Claim(
                f"{self._folder}/{digest}",
                digest,
                self._batch_id,
                run_id,
                self._claimant,
                self._owner,
            )
            if self._links:
                _write(self._beside, claim)
            try:
                while not self._put(claim):
                    found = read_claim(claim.path)
                    if found is not None and not self.is_dead(found):
                        return None
                    self._put_away(claim.path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(self._beside)  # noqa: PTH108
            self._mine[digest] = claim
            return claim

    def mine(self, digest: str) -> Claim | None:
        """This session's claim of a digest; None where it has none."""
        return self._mine.get(digest)

    def taken_over(self, digest: str) -> Claim | None:
        """The dead owner's claim that this session's claim of a digest has replaced."""
        return self._taken_over.get(digest)

    def give_back(self, digest: str) -> None:
        """Release the claim of a digest; a claim that another session has taken over stays."""
        with self._lock:
            claim = self._mine.pop(digest, None)
            if claim is not None and claim.is_current():
                with suppress(FileNotFoundError):
                    os.unlink(claim.path)  # noqa: PTH108

    def renew(self) -> list[Claim]:
        """Update the times of this session's claims; returns those that others have taken over."""
        with self._lock:
            lost = []
            for claim in self._mine.values():
                if claim.is_current():
                    with suppress(OSError):
                        os.utime(claim.path)
                else:
                    lost.append(claim)
            return lost

    def close(self) -> None:
        """Release all claims of this session."""
        for digest in list(self._mine):
            with suppress(OSError):
                self.give_back(digest)
        _here.discard(self._claimant)

    def is_dead(self, claim: Claim) -> bool:
        """Whether a claim's owner is known to be dead."""
        return seems_dead(claim, self._now)

    def _now(self) -> float:
        """The file system's own time, in seconds: the time of a file that is written now."""
        probe = f"{self._beside}-clock"
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        try:
            os.utime(probe)
            return os.stat(probe).st_mtime  # noqa: PTH116
        finally:
            os.unlink(probe)  # noqa: PTH108

    def _put(self, claim: Claim) -> bool:
        """Put the claim in place; False where there is one already."""
        try:
            if self._links:
                os.link(self._beside, claim.path)
            else:
                _write(claim.path, claim)
        except FileExistsError:
            return False
        except OSError as error:
            if not self._links or error.errno not in _NO_LINKS:
                raise
            self._links = False
            log.warning("%s has no hard links: claims are made without", self._folder)
            return self._put(claim)
        return True

    def _put_away(self, path: str) -> None:
        """Remove a dead owner's claim, under a lock: so nobody removes a claim made meanwhile."""
        with locked(f"{self._folder}/{_TAKE_OVER}"):
            found = read_claim(path)
            if found is not None and self.is_dead(found):
                _remove(path, self._claimant)
                self._taken_over[found.digest] = found


def _write(path: str, claim: Claim) -> None:
    """Write the claim to a new file: a file that is linked must never be written again."""
    text = checked_line(
        {
            **{key: claim.owner.get(key) for key in _OWNER_KEYS},
            "batch_id": claim.batch_id,
            "run_id": claim.run_id,
            "digest": claim.digest,
            "claimant": claim.claimant,
            "at": utc_now_iso(),
        }
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        os.write(descriptor, text.encode("utf-8"))
    except BaseException:
        os.unlink(path)  # noqa: PTH108
        raise
    finally:
        os.close(descriptor)


def _remove(path: str, who: str) -> None:
    away = f"{os.path.dirname(path)}/.dead-{who}"  # noqa: PTH120
    with suppress(FileNotFoundError):
        os.rename(path, away)  # noqa: PTH104
        os.unlink(away)  # noqa: PTH108


def claims_folder(results_root: Path) -> str:
    """The folder of the claims of a results root."""
    return f"{results_root}/{SWEEP_FOLDER}/{CLAIMS_FOLDER}"


def shared_files(results_root: Path) -> list[str]:
    """The files and folders that sessions of all users write to."""
    claims = claims_folder(results_root)
    starts = f"{results_root}/{SWEEP_FOLDER}/{STARTS_JSONL}"
    return [os.fspath(results_root), claims, f"{claims}/{_TAKE_OVER}", starts]


def read_claim(path: str) -> Claim | None:
    """The claim in a file; None where there is no file. A damaged one has no owner."""
    try:
        return _read(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError):
        return Claim(path, os.path.basename(path), "", "", "", {})  # noqa: PTH119


def read_claims(results_root: Path) -> list[Claim]:
    """Every claim under a results root."""
    folder = claims_folder(results_root)
    try:
        names = sorted(name for name in os.listdir(folder) if name[0] != ".")  # noqa: PTH208
    except FileNotFoundError:
        return []
    found = [read_claim(f"{folder}/{name}") for name in names]
    return [claim for claim in found if claim is not None]


def seems_dead(claim: Claim, now: Callable[[], float] = time.time) -> bool:
    """Whether a claim's owner is dead; for another host's claim, by this host's clock, or by the
    one that `now` reads."""
    return _known_dead(claim) or (
        not shares_pid_space(claim.owner) and now() - _touched(claim.path) > DEAD_AFTER_S
    )


def release(claim: Claim) -> None:
    """Free a claim, whoever has it."""
    _remove(claim.path, new_batch_id("release"))


def _known_dead(claim: Claim) -> bool:
    here = this_process()
    if all(claim.owner.get(key) == here.get(key) for key in _OWNER_KEYS):
        return claim.claimant not in _here
    return is_gone(Path(claim.path).parents[2], claim.batch_id, claim.owner)


def _touched(path: str) -> float:
    try:
        return os.stat(path).st_mtime  # noqa: PTH116
    except FileNotFoundError:
        return float("-inf")


def _read(path: str) -> Claim:
    said = read_json(path)
    if not isinstance(said, dict) or not (is_plain(said["batch_id"]) and is_plain(said["run_id"])):
        raise ValueError("no claim")
    return Claim(
        path,
        str(said.get("digest")),
        str(said.get("batch_id")),
        str(said.get("run_id")),
        str(said.get("claimant")),
        {key: said.get(key) for key in _OWNER_KEYS},
    )
