"""Reads files, checks their checksums, and collects what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argus_tasks.runs.ledger.sweep_folder import TORN, line_holds


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a file, or a contradiction between files."""

    path: str
    sentence: str


@dataclass(slots=True)
class VerifyResult:
    """The result of a verification.

    Attributes:
        findings: everything that is wrong.
        outcomes: for each batch, how many configs of its plan ended in which way.
        runs: how many run folders were checked.
        files: how many files were compared with a checksum.
        unchecked: how many run folders have no checksums in a ledger.
    """

    findings: list[Finding] = field(default_factory=list)
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    runs: int = 0
    files: int = 0
    unchecked: int = 0


class CheckedFiles:
    """Reads files and adds findings; a missing file counts as empty."""

    def __init__(self, verdict: VerifyResult) -> None:
        self._verdict = verdict

    def find(self, path: Path, sentence: str) -> None:
        """Add a finding."""
        self._verdict.findings.append(Finding(os.fspath(path), sentence))

    def lines(self, path: Path) -> Iterator[dict[str, Any]]:
        """The lines whose checksum is right. Each other line is a finding, except one that a crash
        cut short: at the file's end, or before the line in which the next session records that.
        """
        data = self._bytes(path)
        if data is None:
            return
        self._verdict.files += 1
        lines = data.split(b"\n")
        bad = 0
        for number, line in enumerate(lines, 1):
            value = _checked(line)
            if bad and (value is None or value.get("event") != TORN):
                self.find(path, f"line {bad}: its checksum is wrong: it was changed, or damaged")
            bad = 0
            if value is not None:
                yield value
            elif number < len(lines) or b'"check":"' in line:
                bad = number
        if bad:
            self.find(path, f"line {bad}: its checksum is wrong: it was changed, or damaged")

    def json(self, path: Path) -> Any:
        text = self.text(path)
        if text is None:
            return None
        try:
            return json.loads(text)
        except ValueError:
            self.find(path, "is not complete JSON")
            return None

    def text(self, path: Path) -> str | None:
        data = self._bytes(path)
        if data is None:
            return None
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            self.find(path, "is not UTF-8 text")
            return None

    def _bytes(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.find(path, f"cannot be read: {error.strerror}")
            return None


def _checked(line: bytes) -> dict[str, Any] | None:
    try:
        text = line.decode("utf-8")
        value = json.loads(text) if line_holds(text) else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
