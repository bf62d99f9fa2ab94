"""Names of files that are the same wherever a project lies, and where such a name leads now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from hashlib import sha256

from argus_tasks.provenance.manifest import Root
from argus_tasks.provenance.recording.scope import below_top, is_below

_SOURCE_FOLDERS = ("src", "lib", "python")


class FileNames:
    """Names files: the path below the project's top, or `@root/path`.

    Args:
        top: the project's top folder, or several that stand for one.
        editable: the folders of editable distributions, by their names.
        searched: folders of the module search path.
    """

    def __init__(
        self,
        top: str | tuple[str, ...],
        editable: Mapping[str, str] | None = None,
        searched: Iterable[str] = (),
    ) -> None:
        self._tops = tuple(map(os.path.abspath, (top,) if isinstance(top, str) else top))
        self._editable = dict(editable or {})
        self._searched = {os.path.abspath(folder) for folder in searched}
        self._roots: dict[str, str] = {}
        self._by_folder: dict[str, str] = {}

    def search(self, folders: Iterable[str]) -> None:
        """Add folders of the module search path."""
        self._searched.update(os.path.abspath(folder) for folder in folders)

    def name(self, path: str) -> str:
        """The name of a file, by its absolute path."""
        folder, _, base = path.rpartition(os.sep)
        known = self._by_folder.get(folder)
        if known is None:
            place = self.folder_name(folder)
            known = self._by_folder[folder] = "" if place == "." else f"{place}/"
        return known + base

    def folder_name(self, folder: str) -> str:
        """The name of a folder; `.` for the top."""
        for top in self._tops:
            inside_top = below_top(folder, top)
            if inside_top is not None:
                return inside_top.replace(os.sep, "/")
        root = self._root_of(folder)
        inside = os.path.relpath(folder, root).replace(os.sep, "/")
        return self._root_name(root) if inside == "." else f"{self._root_name(root)}/{inside}"

    def roots(self) -> tuple[Root, ...]:
        """The folders outside the top that names were given to."""
        return tuple(
            Root(name, os.path.relpath(folder, self._tops[-1]), folder)
            for folder, name in sorted(self._roots.items())
        )

    def _root_of(self, folder: str) -> str:
        for place in self._editable.values():
            if is_below(folder, place):
                return place
        root, above = "", folder
        while above != os.path.dirname(above):
            if os.path.exists(os.path.join(above, ".git")):
                return above
            root = root or (above if above in self._searched else "")
            above = os.path.dirname(above)
        if not root:
            return folder
        parent = os.path.dirname(root)
        return parent if os.path.basename(root) in _SOURCE_FOLDERS and parent != "/" else root

    def _root_name(self, root: str) -> str:
        known = self._roots.get(root)
        if known is not None:
            return known
        of_editable = [name for name, folder in self._editable.items() if folder == root]
        name = "@" + (of_editable[0] if of_editable else os.path.basename(root) or "root")
        if name in self._roots.values():
            name = f"{name}-{sha256(os.fsencode(root)).hexdigest()[:6]}"
        self._roots[root] = name
        return name


class FilePlaces:
    """Where the names of a manifest lead now.

    Args:
        top: the project's top folder, where it lies now.
        roots: the manifest's folders outside of it.
        editable: the folders of editable distributions now, by their names.
    """

    def __init__(
        self, top: str, roots: Iterable[Root] = (), editable: Mapping[str, str] | None = None
    ) -> None:
        self._top = os.path.abspath(top)
        self._roots: dict[str, str] = {}
        for root in roots:
            places = (
                (editable or {}).get(root.name[1:]),
                os.path.normpath(os.path.join(self._top, root.relative)),
                root.absolute,
            )
            there = [place for place in places if place and os.path.isdir(place)]
            self._roots[root.name] = there[0] if there else root.absolute

    def path(self, name: str) -> str:
        """The absolute path of a file or folder."""
        if name.startswith("@"):
            first, _, rest = name.partition("/")
            root = self._roots.get(first, "")
            return os.path.join(root, rest) if rest else root
        return self._top if name == "." else os.path.join(self._top, name)
