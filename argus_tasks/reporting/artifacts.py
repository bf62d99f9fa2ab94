"""The files that can be uploaded to the monitor."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".pdf", ".svg"})


def artifact_files(path: Path, glob: str) -> list[Path]:
    """The file, or the files of the folder that match `glob`, sorted; pictures and PDFs only."""
    found: Iterable[Path]
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(path.glob(glob))
    else:
        return []
    return [one for one in found if one.suffix.lower() in EXTENSIONS and one.is_file()]
