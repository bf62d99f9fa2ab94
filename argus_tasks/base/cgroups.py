"""The control groups that this process is in, versions 1 and 2: what they allow, what is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def folders(controller: str, *, own: Path = _OWN, root: Path = ROOT) -> Iterator[Path]:
    """The folders of this process's groups for a controller (`memory`, `cpu`), the innermost first.

    A limit of any of them holds. In a container the names of the outer groups lead nowhere, and
    what is mounted is the container's own: it comes last.
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
    """The number in a group's file; None where it is `max`, or not there."""
    try:
        return int((folder / name).read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def facts(folder: Path, name: str) -> dict[str, int]:
    """The `key number` lines of a group's file; empty where there is none."""
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
