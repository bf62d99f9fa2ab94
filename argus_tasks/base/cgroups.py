"""The control groups (versions 1 and 2) of this process: their limits and their use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def folders(controller: str, *, own: Path = _OWN, root: Path = ROOT) -> Iterator[Path]:
    """The folders of this process's control groups, the innermost first. The limits of all of them
    apply.

    In a container the folders of the outer groups do not exist; the root of the mounted groups,
    which is the container's own group, comes last.

    Args:
        controller: `memory` or `cpu`.
        own: the file that names the groups of this process.
        root: where the groups are mounted.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top = root
        elif controller in controllers.split(","):
            top = root / controller
        else:
            continue
        inside = top / path.lstrip("/")
        while inside != top:
            if inside.is_dir():
                yield inside
            inside = inside.parent
        if top.is_dir():
            yield top


def number(folder: Path, name: str) -> int | None:
    """The number in a file of a group; None where it is `max` or missing."""
    try:
        return int((folder / name).read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def facts(folder: Path, name: str) -> dict[str, int]:
    """The `key number` lines of a file of a group; empty where it is missing."""
    found: dict[str, int] = {}
    try:
        lines = (folder / name).read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        key, _, value = line.partition(" ")
        if value.strip().lstrip("-").isdigit():
            found[key] = int(value)
    return found
