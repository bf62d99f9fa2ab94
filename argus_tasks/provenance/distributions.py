"""Installed distributions: their versions, and those that are installed as editable."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from argus_tasks.provenance.recording.scope import is_below

_INFO = ".dist-info"

COPY = " copy "
"""What stands between the version of a copy of a local project and the hash of its files."""


def versions_of(installed: Mapping[str, str]) -> dict[str, str]:
    """The distributions that top-level names belong to, with their versions; of a copy of a local
    project also what tells its content.

    `installed`: for each name the folder in which it was found. A name that belongs to no
    distribution is left out.
    """
    found: dict[str, str] = {}
    for name, folder in installed.items():
        distribution = _owner(folder, name)
        if distribution is not None:
            found[distribution[0]] = distribution[1] + _content(folder, distribution[0])
    return found


def versions_now(names: Iterable[str]) -> dict[str, str]:
    """The versions of distributions in this process's search path; those that are gone left out."""
    known: dict[str, str] = {}
    for folder in reversed(sys.path):
        listed = dict(_listed(folder).values())
        known |= {name: listed[name] + _content(folder, name) for name in names if name in listed}
    return known


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
    return [name for name in packages if name in copied and is_below(copied[name], top)]


@lru_cache(maxsize=256)
def _content(folder: str, distribution: str) -> str:
    """A hash of the files of a copy of a local project, which may be installed again under the same
    version; empty for any other distribution."""
    for entry, (name, _) in _listed(folder).items():
        project, editable = _project(folder, entry) if name == distribution else ("", False)
        if os.path.isdir(project) and not editable:
            with suppress(OSError):
                lines = Path(folder, entry, "RECORD").read_bytes().splitlines()
                files = b"\n".join(sorted(line for line in lines if _INFO.encode() not in line))
                return COPY + hashlib.sha256(files).hexdigest()[:8]
    return ""


def _local() -> list[tuple[str, str, bool]]:
    found = []
    for folder in sys.path:
        for entry, (name, _) in _listed(folder).items():
            project, editable = _project(folder, entry)
            if project:
                found.append((name, project, editable))
    return found


def _project(folder: str, entry: str) -> tuple[str, bool]:
    """The local project that a distribution was installed from, and whether as editable; no folder
    where it was not."""
    try:
        text = Path(folder, entry, "direct_url.json").read_text(encoding="utf-8")
        said = json.loads(text)
        url, about = urlsplit(said["url"]), said["dir_info"]
    except (OSError, ValueError, KeyError, TypeError):
        return "", False
    if url.scheme != "file":
        return "", False
    return os.path.abspath(unquote(url.path)), bool(about.get("editable"))


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
