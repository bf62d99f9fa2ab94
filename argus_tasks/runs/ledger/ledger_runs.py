"""The runs as the ledgers of a results root record them: attempts, their ends, the last line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from argus_tasks.runs.ledger.sweep_folder import REMOVED

ENDS = ("ended", "closed")
"""The events of an attempt's end; `closed` is a second one, written once the folder could be
closed."""


@dataclass(slots=True)
class Attempt:
    """One start of a run, and when it ended."""

    number: int
    batch_id: str
    session: str
    began: str
    ended: str | None = None


@dataclass(slots=True)
class LedgerRun:
    """A run, by its lines in all ledgers.

    Attributes:
        digest: SHA-256 of experiment and config.
        attempts: its attempts, in the order of their lines.
        last: the line with its current status.
        removed: True where a line records that its folder was deleted.
    """

    digest: str | None
    attempts: list[Attempt] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    removed: bool = False
    _ends: dict[int, str] = field(default_factory=dict)
    _rank: tuple[int, bool] = (0, False)

    @property
    def over(self) -> bool:
        """Whether its last attempt has ended."""
        return self.last.get("event") in ENDS

    @property
    def session(self) -> str:
        """The session that started its last attempt."""
        return self.attempts[-1].session if self.attempts else ""

    def add_line(self, batch_id: str, fact: Mapping[str, Any]) -> str | None:
        """Add the next line about the run. Returns what is wrong with the line; None where nothing
        is."""
        event, number = fact.get("event"), int(fact.get("attempt") or 1)
        wrong = None
        if event == REMOVED:
            self.removed = True
            return None
        if event == "started":
            session = str(fact.get("session"))
            before = self.attempts[-1] if self.attempts else None
            if before is not None and before.ended is None and before.session == session:
                wrong = (
                    f"attempt {number} of {fact.get('run_id')} starts before attempt"
                    f" {before.number} has ended"
                )
            self.attempts.append(Attempt(number, batch_id, session, str(fact.get("at"))))
        elif event in ENDS:
            for attempt in self.attempts:
                if attempt.number == number:
                    attempt.ended = str(fact.get("at"))
            self._ends[number] = str(fact.get("at"))
        else:
            return f"a line of {fact.get('run_id')} says {event!r}"
        # A run that was taken over has lines in two ledgers: the attempt number says which is the
        # last.
        rank = (number, event != "started")
        if rank >= self._rank:
            self._rank, self.last = rank, dict(fact)
        return wrong

    def wrong_attempts(self, run_id: str, closed_sessions: set[str]) -> Iterator[tuple[str, str]]:
        """What is wrong with its attempts, once all lines are read: batch ids and sentences.

        An attempt must have ended where its session has; a session must not start it twice; and
        attempts of two batches must not overlap.
        """
        seen: set[tuple[str, int]] = set()
        self.attempts.sort(key=lambda attempt: attempt.number)
        for one in self.attempts:
            one.ended = one.ended or self._ends.get(one.number)
            taken_over = one.batch_id != self.attempts[-1].batch_id
            if one.ended is None and one.session in closed_sessions and not taken_over:
                sentence = f"attempt {one.number} of {run_id} has no end, though its session has"
                yield one.batch_id, sentence
            if (one.session, one.number) in seen:
                yield one.batch_id, f"attempt {one.number} of {run_id} was started twice"
            seen.add((one.session, one.number))
        for first, second in zip(self.attempts, self.attempts[1:], strict=False):
            if first.batch_id == second.batch_id or first.ended is None:
                continue
            if second.began < first.ended <= (second.ended or "~"):
                sentence = (
                    f"attempt {second.number} of {run_id} began before attempt {first.number} of"
                    f" {first.batch_id} had ended"
                )
                yield second.batch_id, sentence
