"""What a run executed, beside what there is now or beside another run, for people to read."""

from __future__ import annotations

import difflib
import getpass
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from argus_tasks.base.errors import BadInput
from argus_tasks.provenance.acceptance import FILE_NAME, Acceptance, Acceptances
from argus_tasks.provenance.comparison import CodeComparison, CodeState, Comparer, Present
from argus_tasks.provenance.distributions import editable_folders
from argus_tasks.provenance.inputs import INPUT
from argus_tasks.provenance.manifest import Manifest
from argus_tasks.provenance.naming import FilePlaces
from argus_tasks.provenance.objects import OBJECTS, ObjectStore
from argus_tasks.provenance.project import ExperimentMark, Project
from argus_tasks.provenance.recording.content import sha256_hex
from argus_tasks.runs.ledger.catalogue import KnownRun, known_runs
from argus_tasks.runs.record.layout import SWEEP_FOLDER


@dataclass(frozen=True, slots=True)
class RunCode:
    """The code of a run.

    Attributes:
        run: its record.
        manifest: what it executed.
        store: where the sources are.
        top: the project's top folder, as far as it is known where that lies now.
    """

    run: KnownRun
    manifest: Manifest
    store: ObjectStore
    top: str

    @classmethod
    def of(cls, run: KnownRun) -> RunCode:
        """The code of a run. Raises BadInput where it was not recorded."""
        root = Path(run.run_dir).parent
        store = ObjectStore(root / OBJECTS)
        name = run.record.get("manifest")
        manifest = store.manifest(name) if isinstance(name, str) else None
        if manifest is None:
            raise BadInput(f"the code of {run.run_id} was not recorded, or is not stored any more.")
        return cls(run, manifest, store, _top_now(run, Project.of(Path.cwd())))

    def compare(self) -> CodeComparison:
        """How it stands to the code that there is now."""
        root = Path(self.run.run_dir).parent
        comparer = Comparer(
            self.store,
            self.top,
            Present(),
            Acceptances(root / SWEEP_FOLDER / FILE_NAME),
            editable_folders(),
            self.manifest.wrote,
            inputs={file.name: file.digest for file in self.manifest.files if file.kind == INPUT},
            python=platform.python_version(),
        )
        return comparer.compare(str(self.run.record["manifest"]))

    def path(self, name: str) -> Path:
        """Where a file of this name lies now."""
        return Path(FilePlaces(self.top, self.manifest.roots, editable_folders()).path(name))


def diff_to_now(code: RunCode) -> Iterator[str]:
    """The lines of a unified diff from what a run executed to what there is now, each file under a
    line that says what the difference amounts to."""
    found = code.compare()
    for each in found.differences:
        yield f"{each.state.name.lower()}: {each}"
        before = code.store.source(each.before) if each.before is not None else b""
        after = _content(code.path(each.name)) if each.after is not None else b""
        yield from _lines_of(each.name, before, after)
    yield from (f"note: {note}" for note in found.notes)
    if not found.differences:
        yield f"what {code.run.run_id} executed is what there is now"


def diff_between(one: RunCode, two: RunCode) -> Iterator[str]:
    """The lines of a unified diff from what one run executed to what another did."""
    before = {file.name: file.digest for file in one.manifest.files if not file.ignored}
    after = {file.name: file.digest for file in two.manifest.files if not file.ignored}
    alike = True
    for name in sorted(before.keys() | after.keys()):
        first, second = before.get(name), after.get(name)
        if first == second:
            continue
        alike = False
        if first is None or second is None:
            run = two.run.run_id if first is None else one.run.run_id
            yield f"{name}: executed by {run} only"
            continue
        yield from _lines_of(name, one.store.source(first), two.store.source(second))
    for name in sorted(one.manifest.packages.keys() & two.manifest.packages.keys()):
        was, now = one.manifest.packages[name], two.manifest.packages[name]
        if was != now:
            yield f"note: {name} was {was}, then {now}"
    if alike:
        yield f"{one.run.run_id} and {two.run.run_id} executed the same files"


def accept(root: Path, file: Path, because: str, run: KnownRun | None) -> tuple[Acceptance, int]:
    """Accept what a file is now in the place of what runs executed.

    Args:
        root: the results root.
        file: the file.
        because: why, in words.
        run: the run whose content of the file is accepted; by default, the newest one with another
            content that is not accepted yet.

    Returns:
        What was written down, and of how many runs under the root it is the content.

    Raises:
        BadInput: if no run executed another content of the file, and the file hides nothing.
    """
    path = Path(os.path.abspath(file))  # noqa: PTH100 - links stay, as in manifests
    content = _content(path)
    now = sha256_hex(content) if content is not None else None
    runs = [run] if run is not None else list(known_runs(root))
    here = Project.of(Path.cwd())
    by_manifest: dict[tuple[str, str], list[KnownRun]] = {}
    for each in runs:
        key = (str(each.record.get("manifest")), _top_now(each, here))
        by_manifest.setdefault(key, []).append(each)
    contents: dict[tuple[str, str | None], list[str]] = {}
    for alike in by_manifest.values():
        try:
            code = RunCode.of(alike[0])
        except BadInput:
            continue
        for difference in code.compare().differences:
            new = difference.state is not CodeState.ACCEPTED and difference.after == now
            if new and code.path(difference.name) == path:
                made = contents.setdefault((difference.name, difference.before), [])
                made += [each.run_id for each in alike]
    if not contents:
        whose = run.run_id if run is not None else f"a run under {root}"
        raise BadInput(
            f"FILE is '{file}', whose content now is no change for {whose}, or is accepted already;"
            " expected a file that 'argus-tasks plan' or 'argus-tasks diff' names."
        )
    (name, before), made = max(contents.items(), key=lambda item: max(item[1]))
    accepted = Acceptances(root / SWEEP_FOLDER / FILE_NAME).add(
        name, before, now, because=because, by=getpass.getuser()
    )
    if content is not None:
        ObjectStore(root / OBJECTS).put_source(str(now), content, name)
    return accepted, len(made)


def _top_now(run: KnownRun, here: Project) -> str:
    """Where the project of a run lies now: where it lay, or, where it was moved, here."""
    try:
        mark = ExperimentMark.from_record(run.record["experiment"])
    except (KeyError, TypeError):
        return str(here.top)
    if Path(mark.top, mark.entry).exists() or not Path(here.top, mark.entry).exists():
        return mark.top
    return str(here.top)


def _lines_of(name: str, before: bytes | None, after: bytes | None) -> Iterator[str]:
    if before is None or after is None:
        yield f"  {name}: its source is not stored, only its hash"
        return
    try:
        one, two = before.decode("utf-8").splitlines(), after.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        yield f"  {name}: not a text"
        return
    titles = (f"{name} (before)", f"{name} (after)")
    yield from difflib.unified_diff(one, two, *titles, lineterm="")


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
