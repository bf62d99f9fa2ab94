"""The files that scripts would load, by reading their import statements, and those around them."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from threading import Lock

from argus_tasks.provenance.cosmetic import UNPARSABLE
from argus_tasks.provenance.recording.scope import CodeScope

MOST_FILES = 500
_parsing = Lock()
_LEFT_OUT = frozenset({"node_modules", "__pycache__", "build", "dist", "target"})


def imported_files(
    scripts: Iterable[str], scope: CodeScope, search_path: Iterable[str] | None = None
) -> tuple[list[str], bool]:
    """The files of the project that scripts reach by import statements, themselves included.

    Imports that are computed are not seen. Returns at most `MOST_FILES`, and whether there were
    more. `search_path`: where modules are looked for besides the scripts' folders.
    """
    todo = [os.path.abspath(script) for script in scripts]
    folders = dict.fromkeys(os.path.dirname(path) for path in todo)
    for entry in sys.path if search_path is None else search_path:
        folder = os.path.abspath(entry)
        if scope.counts_folder(folder):
            folders.setdefault(folder)
    found: dict[str, None] = {}
    while todo:
        path = todo.pop()
        if path in found or not scope.counts(path) or not os.path.isfile(path):
            continue
        if len(found) >= MOST_FILES:
            return list(found), True
        found[path] = None
        if path.endswith((".py", ".pyw")):
            for module, level, names in _imports(path):
                todo += _files_of(module, level, names, path, folders)
    return list(found), False


def neighbouring_files(script: str, scope: CodeScope) -> tuple[list[str], bool]:
    """The files in the folder tree of a script that are of its language, by their suffix, itself
    included: at most `MOST_FILES`, and whether there were more."""
    suffix = os.path.splitext(script)[1]
    found = [os.path.abspath(script)]
    if not suffix:
        return found, False
    for folder, below, files in os.walk(os.path.dirname(found[0])):
        below[:] = sorted(
            name
            for name in below
            if name not in _LEFT_OUT
            and not name.startswith(".")
            and scope.counts_folder(os.path.join(folder, name))
        )
        for name in sorted(files):
            path = os.path.join(folder, name)
            if name.endswith(suffix) and path != found[0]:
                if len(found) >= MOST_FILES:
                    return found, True
                found.append(path)
    return found, False


def _imports(path: str) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """The imports of a source: module, how many dots before it, names taken from it."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    with _parsing:
        return _imports_of(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4_096)
def _imports_of(path: str, *_stamp: int) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    try:
        with open(path, "rb") as handle:
            tree = ast.parse(handle.read())
    except (OSError, *UNPARSABLE):
        return ()
    found: list[tuple[str, int, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, 0, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append((node.module or "", node.level, names))
    return tuple(found)


def _files_of(
    module: str, level: int, names: tuple[str, ...], importer: str, folders: Iterable[str]
) -> Iterator[str]:
    if level:
        base = os.path.dirname(importer)
        for _ in range(level - 1):
            base = os.path.dirname(base)
        folders = (base,)
    parts = module.split(".") if module else []
    for folder in folders:
        place, chain = folder, []
        for part in parts:
            file = os.path.join(place, f"{part}.py")
            place = os.path.join(place, part)
            start = os.path.join(place, "__init__.py")
            if os.path.isfile(start):
                chain.append(start)
            elif os.path.isfile(file):
                chain.append(file)
            elif not os.path.isdir(place):
                break
        else:
            if not chain and not level and not os.path.isdir(place):
                continue
            yield from chain
            for name in names:
                yield from _files_of(name, 0, (), importer, (place,))
            return
