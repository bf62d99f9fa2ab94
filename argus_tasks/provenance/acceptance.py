"""Changes of code that somebody has accepted: the runs made before them count as made after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from argus_tasks.base.clock import utc_now_iso
from argus_tasks.base.files import append_line, dumps, read_json_lines

FILE_NAME = "accepted.jsonl"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One content of a file accepted in place of another.

    Attributes:
        path: the file, as manifests name it.
        before: SHA-256 of the content that was executed; None where there was no file.
        after: SHA-256 of the content in its place; None where there is no file any more.
        because: why, in the words of whoever accepted it.
        at: when, ISO 8601 in UTC.
        by: who.
    """

    path: str
    before: str | None
    after: str | None
    because: str
    at: str = ""
    by: str = ""


class Acceptances:
    """The accepted changes of a results root: a file that lines are only ever added to."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.all: list[Acceptance] = []
        for line in read_json_lines(file) if file is not None else ():
            if isinstance(line, dict) and {"path", "before", "after"} <= line.keys():
                values = {key: line.get(key, "") for key in Acceptance.__slots__}
                self.all.append(Acceptance(**values))
        self._pairs = {(each.path, each.before, each.after) for each in self.all}

    def has(self, path: str, before: str | None, after: str | None) -> bool:
        """Whether exactly this change was accepted: any third content was not."""
        return (path, before, after) in self._pairs

    def add(
        self, path: str, before: str | None, after: str | None, *, because: str, by: str = ""
    ) -> Acceptance:
        """Accept a change. Errors: OSError where it cannot be written down."""
        accepted = Acceptance(path, before, after, because, utc_now_iso(), by)
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            append_line(
                self._file, dumps({key: getattr(accepted, key) for key in Acceptance.__slots__})
            )
        self.all.append(accepted)
        self._pairs.add((path, before, after))
        return accepted
