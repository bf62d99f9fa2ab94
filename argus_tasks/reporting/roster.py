"""The reporters on one batch on this host: the first opens the batch, the last closes it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argus_tasks.base.files import read_mapping, write_json
from argus_tasks.base.ids import slug
from argus_tasks.base.locks import locked
from argus_tasks.delivery.outbox_folder import Outbox
from argus_tasks.delivery.segment_places import Ref, chain_of

_SENT = "sent"


@dataclass
class BatchTotals:
    """The totals over all reporters on a batch, for its last event.

    Attributes:
        n_done: jobs that have ended well.
        n_failed: jobs that have failed.
        reasons: why the batch has failed; empty where it has not.
        after: the places in the outbox that are delivered before the last event.
    """

    n_done: int
    n_failed: int
    reasons: list[str] = field(default_factory=list)
    after: list[Ref] = field(default_factory=list)


class Roster:
    """The reporters on one batch of one outbox: a file, and a lock file beside it."""

    def __init__(self, outbox: Outbox, batch_id: str) -> None:
        self._outbox = outbox
        folder = outbox.folder / "rosters"
        folder.mkdir(mode=0o700, exist_ok=True)
        digest = hashlib.sha256(batch_id.encode()).hexdigest()[:8]
        self._path: Path = folder / f"{slug(batch_id, 60)}-{digest}.json"
        self._lock = os.fspath(self._path.with_suffix(".lock"))

    def join(
        self, member: str, open_batch: Callable[[list[Ref]], Ref | None]
    ) -> tuple[bool, Ref | None]:
        """Add a reporter.

        Args:
            member: the reporter's name: its chain, a slash and a number.
            open_batch: sends `batch_start` and returns where it ends in the outbox. Called for the
                first reporter only, with the places that are delivered before it: the ends of what
                earlier sessions of this batch wrote. No other reporter joins meanwhile.

        Returns:
            Whether this reporter is the first, and where `batch_start` ends in the outbox.

        Raises:
            OSError, TimeoutError: the file cannot be locked, read or written.
        """
        with locked(self._lock):
            page = self._living()
            first = not page["members"]
            ends_of_dead_chains = self._ends_of_dead_chains(page)
            self._note(page, _chain_of(member))
            if first:
                opened = open_batch(ends_of_dead_chains)
                page |= {"opened": str(opened) if opened else None, "ended": None}
                page |= {"n_done": 0, "n_failed": 0, "reasons": [], "last": []}
            page["members"] = [*page["members"], member]
            write_json(self._path, page)
            return first, _ref(page.get("opened"))

    def add_chain(self, chain: str) -> None:
        """Record that a worker writes events of this batch to a chain of its own.

        Args:
            chain: the chain's name.

        Raises:
            OSError, TimeoutError: as in `join`.
        """
        with locked(self._lock):
            page = read_mapping(self._path)
            if chain not in page.get("chains", []):
                self._note(page, chain)
                write_json(self._path, page)

    def ends_of_dead_chains(self) -> list[Ref]:
        """Where the events of this batch end in the chains whose processes are dead."""
        return self._ends_of_dead_chains(read_mapping(self._path))

    def ended_before(self) -> str | None:
        """How this host last closed the batch: done or failed; None where it has not."""
        return read_mapping(self._path).get("ended")

    def claim_environment(self, member: str) -> bool:
        """Take over sending the batch's environment, which one reporter does.

        Args:
            member: the reporter's name.

        Returns:
            False where it has been sent, or where a living reporter is going to send it.

        Raises:
            OSError, TimeoutError: as in `join`.
        """
        with locked(self._lock):
            page = self._living()
            taken_by = page.get("environment")
            if taken_by == _SENT or taken_by in page["members"]:
                return False
            write_json(self._path, page | {"environment": member})
            return True

    def environment_sent(self) -> None:
        """Record that the environment has been sent. Raises OSError, TimeoutError."""
        with locked(self._lock):
            write_json(self._path, read_mapping(self._path) | {"environment": _SENT})

    def leave(
        self,
        member: str,
        *,
        n_done: int,
        n_failed: int,
        reason: str | None,
        place: Ref | None,
        close_batch: Callable[[BatchTotals], None],
    ) -> None:
        """Remove a reporter.

        Args:
            member: the reporter's name.
            n_done: how many of its jobs have ended well.
            n_failed: how many of its jobs have failed.
            reason: why the batch has failed, as far as it knows.
            place: where its events end in the outbox.
            close_batch: sends the batch's last event. Called for the last reporter only, with the
                totals of all; no other reporter joins meanwhile.

        Raises:
            OSError, TimeoutError: as in `join`.
        """
        with locked(self._lock):
            page = self._living()
            page["members"] = [one for one in page["members"] if one != member]
            page["n_done"] = page.get("n_done", 0) + n_done
            page["n_failed"] = page.get("n_failed", 0) + n_failed
            page["reasons"] = [*page.get("reasons", []), *([reason] if reason else [])][:20]
            if not page["members"]:
                after = [ref for text in page.get("last", []) if (ref := _ref(text))]
                close_batch(BatchTotals(page["n_done"], page["n_failed"], page["reasons"], after))
                page["ended"] = "failed" if page["reasons"] else "done"
            else:
                page["last"] = [*page.get("last", []), *([str(place)] if place else [])]
            write_json(self._path, page)

    def _note(self, page: dict[str, Any], chain: str) -> None:
        there = {chain_of(segment) for segment in self._outbox.segments()}
        known = [one for one in page.get("chains", []) if one in there and one != chain]
        page["chains"] = [*known, chain]

    def _ends_of_dead_chains(self, page: dict[str, Any]) -> list[Ref]:
        chains = [chain for chain in page.get("chains", []) if not self._outbox.is_live(chain)]
        return self._outbox.ends_of(chains)

    def _living(self) -> dict[str, Any]:
        page = read_mapping(self._path)
        members = [str(one) for one in page.get("members", [])]
        page["members"] = [one for one in members if self._outbox.is_live(_chain_of(one))]
        return page


def _chain_of(member: str) -> str:
    return member.rsplit("/", 1)[0]


def _ref(text: Any) -> Ref | None:
    try:
        return Ref.parse(str(text)) if text else None
    except ValueError:
        return None
