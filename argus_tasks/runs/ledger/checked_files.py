"""Files read with their checksums held against them; what is wrong is collected."""

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
    """What is wrong with a file, or with what the files say together."""

    path: str
    sentence: str


@dataclass(slots=True)
class VerifyResult:
    """What was looked at and found.

    Attributes:
        findings: everything that is wrong.
        outcomes: how the configs of the plans stand, by batch: how many of each.
        runs: run folders that were looked into.
        files: files whose content was compared with a checksum.
        unchecked: run folders that no ledger knows the files of.
    """

    findings: list[Finding] = field(default_factory=list)
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    runs: int = 0
    files: int = 0
    unchecked: int = 0


class CheckedFiles:
    """Reads files for a verdict; one that is not there is empty."""

    def __init__(self, verdict: VerifyResult) -> None:
        self._verdict = verdict

    def find(self, path: Path, sentence: str) -> None:
        """Note what is wrong with a file."""
        self._verdict.findings.append(Finding(os.fspath(path), sentence))

    def lines(self, path: Path) -> Iterator[dict[str, Any]]:
        """A file's lines whose checksum is right; of the others, all are told but those that a
        crash tore off: at the file's end, or before the line in which the next session says so.
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
            self.find(path, "is not whole JSON")
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
