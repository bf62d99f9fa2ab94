"""Installed distributions: their versions, and those that are installed as editable."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

_INFO = ".dist-info"


def versions_of(installed: Mapping[str, str]) -> dict[str, str]:
    """The distributions that top-level names belong to, with their versions.

    `installed`: for each name the folder in which it was found. A name that belongs to no
    distribution is left out.
    """
    found: dict[str, str] = {}
    for name, folder in installed.items():
        distribution = _owner(folder, name)
        if distribution is not None:
            found[distribution[0]] = distribution[1]
    return found


def versions_now(names: Iterable[str]) -> dict[str, str]:
    """The versions of distributions in this process's search path; those that are gone left out."""
    known: dict[str, str] = {}
    for folder in reversed(sys.path):
        known |= dict(_listed(folder).values())
    return {name: known[name] for name in names if name in known}


@lru_cache(maxsize=1)
def editable_folders() -> dict[str, str]:
    """For each distribution that is installed as editable, the folder of its project (PEP 610)."""
    return {name: folder for name, folder, editable in _local() if editable}


@lru_cache(maxsize=1)
def copied_projects() -> dict[str, str]:
    """For each distribution that was installed as a copy of a local project, that project's
    folder: edits there do not change what is imported."""
    return {name: folder for name, folder, editable in _local() if not editable}


def copies_in_use(packages: Iterable[str], top: str) -> list[str]:
    """Of the distributions that a run imported, those that are copies of what lies in the project:
    its edits do not change what is imported."""
    copied = copied_projects()
    return [name for name in packages if name in copied and (copied[name] + os.sep).startswith(top)]


def _local() -> list[tuple[str, str, bool]]:
    found = []
    for folder in sys.path:
        for entry, (name, _) in _listed(folder).items():
            try:
                text = Path(folder, entry, "direct_url.json").read_text(encoding="utf-8")
                said = json.loads(text)
                url = urlsplit(said["url"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if url.scheme == "file" and "dir_info" in said:
                editable = bool(said["dir_info"].get("editable"))
                found.append((name, os.path.abspath(unquote(url.path)), editable))
    return found


@lru_cache(maxsize=64)
def _listed(folder: str) -> dict[str, tuple[str, str]]:
    """For each `.dist-info` of a folder, the distribution's name and version, as it is named."""
    try:
        entries = [entry for entry in os.listdir(folder or ".") if entry.endswith(_INFO)]
    except OSError:
        return {}
    found = {}
    for entry in entries:
        name, _, version = entry.removesuffix(_INFO).partition("-")
        found[entry] = (_normal(name), version)
    return found


def _owner(folder: str, name: str) -> tuple[str, str] | None:
    listed = _listed(folder)
    for distribution, version in listed.values():
        if distribution == _normal(name):
            return distribution, version
    return _owners(folder).get(name)


@lru_cache(maxsize=16)
def _owners(folder: str) -> dict[str, tuple[str, str]]:
    """For each top-level name the distribution that installed it, where the names differ."""
    found: dict[str, tuple[str, str]] = {}
    for entry, distribution in _listed(folder).items():
        for name in _top_names(Path(folder, entry)):
            if _normal(name) != distribution[0]:
                found.setdefault(name, distribution)
    return found


def _top_names(info: Path) -> set[str]:
    try:
        return set((info / "top_level.txt").read_text(encoding="utf-8").split())
    except OSError:
        pass
    try:
        with (info / "RECORD").open(encoding="utf-8") as lines:
            firsts = {line.partition(",")[0].partition("/")[0] for line in lines}
    except (OSError, ValueError):
        return set()
    return {first.removesuffix(".py").partition(".")[0] for first in firsts}


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
