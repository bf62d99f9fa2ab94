"""Which files count as code: not the standard library, and no installed distribution."""

from __future__ import annotations

import os
import sys

CONFIG_SUFFIXES = (".yaml", ".yml", ".toml", ".json", ".ini", ".cfg")
SOURCE_SUFFIXES = (".py", ".pyw")
ARCHIVE_SUFFIXES = (".zip", ".egg", ".pyz", ".whl")

INSTALLED_FOLDERS = ("site-packages", "dist-packages")
_OWN = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class CodeScope:
    """What counts, for a project.

    Attributes:
        top: the project's top folder.
        results_root: the folder of results, where nothing of a run or a sweep counts; empty where
            there is none.
        editable: the folders of distributions that are installed as editable.
        tops: `top`; of a frozen project also the folder that it was copied from, where a run finds
            what it opens by a path from its working folder.
    """

    def __init__(
        self,
        top: str,
        results_root: str = "",
        editable: tuple[str, ...] = (),
        copied_from: str = "",
    ) -> None:
        self.top = os.path.abspath(top)
        self.tops = tuple(map(os.path.abspath, filter(None, (top, copied_from))))
        self.results_root = os.path.abspath(results_root) if results_root else ""
        self.editable = tuple(os.path.abspath(folder) for folder in editable)
        self._library = _library_folders()
        # A results root may be the folder of the experiment: then its config files are code, too.
        self._code_in_results = _has_sources(self.results_root)
        self._known: dict[str, bool] = {}
        self._mine: dict[str, bool] = {}
        self._installed_names: dict[str, frozenset[str]] = {}

    def counts(self, path: str) -> bool:
        """Whether a file, by its absolute path, is code when it is executed."""
        folder = os.path.dirname(path)
        known = self._known.get(folder)
        if known is None:
            known = self._known[folder] = self._folder_counts(folder)
        return known and not (self._installed_names and self._is_installed(path))

    def counts_folder(self, folder: str) -> bool:
        """Whether what lies in a folder may be code."""
        if folder == os.path.dirname(_OWN) != self.top:
            return False
        return self.counts(os.path.join(folder, "?"))

    def counts_as_config(self, path: str) -> bool:
        """Whether a file that was opened is a part of the code though it is not Python."""
        if not path.endswith(CONFIG_SUFFIXES) or not self._is_mine(path):
            return False
        in_results = bool(self.results_root) and is_below(path, self.results_root)
        return self.counts(path) and (not in_results or self._code_in_results)

    def _is_result(self, folder: str) -> bool:
        """Whether a folder is a run's, or a sweep's; a frozen project there is none. Nor are other
        folders of a results root: it may be the folder of the experiment."""
        if not self._is_kept(folder):
            return False
        return not (self._is_kept(self.top) and is_below(folder, self.top))

    def _is_kept(self, folder: str) -> bool:
        root = self.results_root
        if not root or not is_below(folder, root):
            return False
        return is_kept(os.path.relpath(folder, root).split(os.sep)[0])

    def _is_mine(self, path: str) -> bool:
        folder = os.path.dirname(path)
        mine = self._mine.get(folder)
        if mine is None:
            mine = self._mine[folder] = self._below_a_top(folder)
        return mine

    def _below_a_top(self, folder: str) -> bool:
        return any(below_top(folder, top) is not None for top in self.tops)

    def _folder_counts(self, folder: str) -> bool:
        if is_below(folder, _OWN) or self._is_result(folder):
            return False
        if any(is_below(folder, library) for library in self._library):
            return False
        parts = folder.split(os.sep)
        searched = {os.path.abspath(entry) for entry in sys.path}
        known_root = self._below_a_top(folder)
        above = folder
        while above not in self.editable:
            if above not in self.tops and _is_environment(above):
                return False
            if above in searched:
                known_root = True
                names = _installed_in(above)
                if names:
                    self._installed_names[above] = names
            if above in self.tops:  # it may itself be an environment, or lie in one
                break
            parent = os.path.dirname(above)
            if parent == above:
                break
            above = parent
        else:
            return True
        return known_root or not _is_generated(folder, parts)

    def _is_installed(self, path: str) -> bool:
        for folder, names in self._installed_names.items():
            if is_below(path, folder):
                first = path[len(folder) :].lstrip(os.sep).split(os.sep)[0]
                if first in names:
                    return True
        return False


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies in it; links are not followed."""
    return path == folder or path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)


def below_top(folder: str, top: str) -> str | None:
    """The path of a folder from the top that it lies in; None where it lies elsewhere. A folder
    that is reached through a link above the top is the same one."""
    if is_below(folder, top):
        return os.path.relpath(folder, top)
    real, real_top = os.path.realpath(folder), os.path.realpath(top)
    return os.path.relpath(real, real_top) if is_below(real, real_top) else None


def is_kept(name: str) -> bool:
    """Whether a folder of this name in a results root is a run's, or the sweeps' own."""
    day, _, rest = name.partition("_")
    time, _, end = rest.partition("_")
    run = day.isdigit() and time.isdigit() and [*map(len, (day, time, end))] == [8, 6, 8]
    return run or name == ".sweep"


def _has_sources(folder: str) -> bool:
    try:
        return any(name.endswith(SOURCE_SUFFIXES) for name in os.listdir(folder or os.devnull))
    except OSError:
        return False


def _is_environment(folder: str) -> bool:
    installed = os.path.basename(folder) in INSTALLED_FOLDERS
    return installed or os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def _library_folders() -> tuple[str, ...]:
    standard = os.path.dirname(os.path.abspath(os.__file__))
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    found = {standard, os.path.realpath(standard)}
    for prefix in (sys.base_prefix, sys.base_exec_prefix):
        found |= {os.path.join(prefix, lib, name) for lib in ("lib", "lib64")}
        found.add(os.path.join(prefix, "lib", f"{name.replace('.', '')}.zip"))
    return tuple(found)


def _installed_in(folder: str) -> frozenset[str]:
    """The top-level names that distributions have installed into a folder (`pip install -t`)."""
    names: set[str] = set()
    try:
        entries = os.listdir(folder)
    except OSError:
        return frozenset()
    for entry in entries:
        if entry.endswith(".dist-info"):
            try:
                with open(os.path.join(folder, entry, "RECORD"), encoding="utf-8") as handle:
                    names |= {line.split(",")[0].split("/")[0].strip('"') for line in handle}
            except (OSError, ValueError):
                continue
    return frozenset(names)


def _is_generated(folder: str, parts: list[str]) -> bool:
    """Whether a folder that belongs to no known place is one where compilers leave their work."""
    temporary = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    places = {os.path.abspath(place) for place in (*temporary, "/tmp", "/var/tmp") if place}
    return ".cache" in parts or any(is_below(folder, place) for place in places)
