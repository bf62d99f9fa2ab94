"""Which runs were made by one version of the code: no file that two of them executed differs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from argus_tasks.provenance.acceptance import FILE_NAME, Acceptances
from argus_tasks.provenance.comparison import READ_KINDS
from argus_tasks.provenance.cosmetic import is_cosmetic
from argus_tasks.provenance.objects import OBJECTS, ObjectStore


class CodeVersions:
    """The versions of the code of results roots, numbered in the order in which they are asked
    for. Files of which one run executed more than another are no difference; nor are changes that
    are cosmetic or accepted, and config files that runs have written themselves.

    Args:
        results_roots: where the manifests are.
        manifests: those of all runs, as far as they are known at first.
    """

    def __init__(self, results_roots: Iterable[Path], manifests: Iterable[str] = ()) -> None:
        roots = list(results_roots)
        self._stores = [ObjectStore(root / OBJECTS) for root in roots]
        self._accepted_files = [root / ".sweep" / FILE_NAME for root in roots]
        self._accepted: list[Acceptances] | None = None
        self._files: dict[str, dict[str, frozenset[str]]] = {}
        self._versions: list[dict[str, frozenset[str]]] = []
        self._numbers: dict[str, int] = {}
        self._alike: dict[tuple[str, str, str], bool] = {}
        self._read: set[str] = set()
        self._written: set[str] = set()
        for manifest in manifests:
            self._files_of(manifest)

    def number(self, manifest: str) -> int | None:
        """The number of the version that a run with this manifest executed, from 0; None where the
        manifest is gone."""
        if manifest not in self._numbers:
            files = self._files_of(manifest)
            if not files:
                return None
            number = next(
                (
                    place
                    for place, version in enumerate(self._versions)
                    if not self._differing(version, files)
                ),
                len(self._versions),
            )
            if number == len(self._versions):
                self._versions.append({})
            self._versions[number].update(files)
            self._numbers[manifest] = number
        return self._numbers[manifest]

    def differing(self, first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
        """The files that runs with the first manifests and runs with the second ones executed with
        another content; those that only one side has come last, as `name (new)` or `(gone)`."""
        one, two = self._merged(first), self._merged(second)
        if not one or not two:
            return ()
        fresh = [f"{name} (new)" for name in sorted(two.keys() - one.keys())]
        gone = [f"{name} (gone)" for name in sorted(one.keys() - two.keys())]
        return (*sorted(self._differing(one, two)), *fresh, *gone)

    def _merged(self, manifests: Iterable[str]) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for manifest in manifests:
            for name, digests in self._files_of(manifest).items():
                found[name] = found.get(name, frozenset()) | digests
        return found

    def _files_of(self, manifest: str) -> dict[str, frozenset[str]]:
        if manifest not in self._files:
            found = next(filter(None, (each.manifest(manifest) for each in self._stores)), None)
            files: dict[str, frozenset[str]] = {}
            for file in found.files if found is not None else ():
                if not file.ignored:
                    files[file.name] = files.get(file.name, frozenset()) | {file.digest}
                    if file.kind in READ_KINDS:
                        self._read.add(file.name)
            self._written.update(found.wrote if found is not None else ())
            self._files[manifest] = files
        return self._files[manifest]

    def _differing(
        self, one: dict[str, frozenset[str]], two: dict[str, frozenset[str]]
    ) -> list[str]:
        return [
            name
            for name in one.keys() & two.keys() - (self._read & self._written)
            if one[name] != two[name]
            and not all(self._are_alike(name, a, b) for a in one[name] for b in two[name])
        ]

    def _are_alike(self, name: str, one: str, two: str) -> bool:
        key = (name, one, two)
        if key not in self._alike:
            self._alike[key] = one == two or self._was_accepted(*key) or self._looks_alike(*key)
        return self._alike[key]

    def _was_accepted(self, name: str, one: str, two: str) -> bool:
        if self._accepted is None:
            self._accepted = [Acceptances(file) for file in self._accepted_files]
        return any(each.has(name, one, two) or each.has(name, two, one) for each in self._accepted)

    def _looks_alike(self, name: str, one: str, two: str) -> bool:
        before, after = self._source(one), self._source(two)
        return before is not None and after is not None and is_cosmetic(name, before, after)

    def _source(self, digest: str) -> bytes | None:
        found = (each.source(digest) for each in self._stores)
        return next((content for content in found if content is not None), None)
