"""The runs that a start may follow: found by their digests, their code compared with today's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.base.files import read_json
from argus_tasks.base.ids import digest_of, earlier_digest_of
from argus_tasks.planning.present_code import PresentCode
from argus_tasks.planning.request import SweepRequest
from argus_tasks.provenance.comparison import CodeComparison, CodeState
from argus_tasks.provenance.project import ExperimentMark, Match, Move
from argus_tasks.runs.ledger.catalogue import KnownRun, runs_by_digest
from argus_tasks.runs.record.layout import SUCCEEDED, SWEEP_FOLDER, SWEEP_JSON
from argus_tasks.spec.sections import OnCodeChange

_SHOWN_FILES = 3
_UNKNOWN = CodeComparison(CodeState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier run of a config.

    Attributes:
        run: its record.
        code: how its code stands to the code that there is now.
        former_entry: the entry file that its experiment had, where it was renamed since.
    """

    run: KnownRun
    code: CodeComparison
    former_entry: str = ""

    @property
    def fits(self) -> bool:
        """Whether its code counts as the code that there is now."""
        return self.code.state <= CodeState.ACCEPTED


class EarlierRuns:
    """The runs under the results root of a request, by their configs.

    Attributes:
        by_digest: all of them, whatever their experiment; those that succeeded and the newest come
            first.
    """

    def __init__(self, request: SweepRequest, present: PresentCode) -> None:
        self._policy = request.spec.on_code_change
        self._ignore = request.spec.ignore_keys
        self._root = request.results_root
        self._experiment = request.experiment
        self.by_digest = runs_by_digest(request.results_root)
        self._matches: dict[tuple[str, ...], Match] = {}
        self._formerly: list[tuple[str, str, Move | None]] = []
        self._batches: dict[str, bool] = {}
        every = [run for several in self.by_digest.values() for run in several]
        if self._experiment.mark is not None:
            self._look_for_other_names(every)
        manifests = {name for run in every if isinstance(name := run.record.get("manifest"), str)}
        self._comparer = present.comparer(present.written(manifests))

    def of(self, config: Mapping[str, Any], digest: str) -> Earlier | None:
        """The run of a config that a start follows: of those that succeeded the one whose code is
        the best, the newest within; where none did, or where they are to be run again and one has
        not succeeded since, the newest one."""
        found = [
            Earlier(run, self.compare(run))
            for run in self.by_digest.get(digest, ())
            if self._match(run) == "same"
        ]
        if len(found) == 1 and not self._formerly:
            return found[0]
        for identity, entry, move in self._formerly:
            digest_then = digest_of if entry else earlier_digest_of
            before = digest_then(identity, config, self._ignore)
            for run in self.by_digest.get(before, ()):
                if entry and self._match(run) == "renamed" and _mark_of(run).get("entry") == entry:
                    found.append(Earlier(run, self.compare(run, move), entry))
                elif not entry and "experiment" not in run.record and self._is_ours(run):
                    found.append(Earlier(run, _UNKNOWN))
        succeeded = [each for each in found if each.run.status == SUCCEEDED]
        rest = [each for each in found if each.run.status != SUCCEEDED]
        fitting = [each for each in succeeded if each.fits]
        if succeeded and self._policy == "rerun":
            rest = [each for each in rest if _follows(each.run, succeeded[0].run)]
        if fitting or (succeeded and (self._policy != "rerun" or not rest)):
            # `min` takes the first of equals, which is the newest.
            return min(fitting or succeeded, key=lambda each: each.code.state)
        return rest[0] if rest else None

    def compare(self, run: KnownRun, move: Move | None = None) -> CodeComparison:
        """How the code of a run stands: the worst of its attempts, where several codes made it."""
        found = self._comparer.compare(run.record.get("manifest"), move)
        for name in run.record.get("earlier_manifests") or ():
            found = max(found, self._comparer.compare(name, move), key=lambda each: each.state)
        return found

    def _match(self, run: KnownRun) -> Match:
        mark = run.record.get("experiment")
        now = self._experiment.mark
        if mark is None or now is None:
            return "other" if now is not None or mark is not None else "same"
        key = tuple(mark.values())
        if key not in self._matches:
            try:
                self._matches[key] = ExperimentMark.from_record(mark).match(now)
            except (KeyError, TypeError):
                self._matches[key] = "other"
        return self._matches[key]

    def _look_for_other_names(self, runs: Iterable[KnownRun]) -> None:
        """Find the identities that this experiment had when earlier runs were made."""
        now = self._experiment.mark
        assert now is not None
        named = str(self._experiment.identity).removeprefix(now.entry)
        entries: dict[str, None] = {}
        unmarked = False
        for run in runs:
            unmarked = unmarked or "experiment" not in run.record
            if self._match(run) == "renamed":
                entries[_mark_of(run)["entry"]] = None
        self._formerly = [
            (f"{entry}{named}", entry, Move.between(entry, now.entry)) for entry in entries
        ]
        if unmarked and self._experiment.former_identity is not None:
            self._formerly.append((self._experiment.former_identity, "", None))

    def _is_ours(self, run: KnownRun) -> bool:
        """Whether a run without a mark is of this experiment, as far as its batch says where that
        lay: two experiments may have had one import path."""
        batch = str(run.record.get("batch_id"))
        if batch not in self._batches:
            now = self._experiment.mark
            assert now is not None
            self._batches[batch] = was_there(self._root / SWEEP_FOLDER / batch / SWEEP_JSON, now)
        return self._batches[batch]


def _follows(run: KnownRun, before: KnownRun) -> bool:
    """Whether a run was made after another one."""
    if run.record.get("parent_run_id") == before.run_id:
        return True
    return _when(run) > _when(before)


def _when(run: KnownRun) -> tuple[str, str]:
    return run.run_id.rpartition("_")[0], str(run.record.get("started_at"))


def _mark_of(run: KnownRun) -> dict[str, Any]:
    mark = run.record.get("experiment")
    return mark if isinstance(mark, dict) else {}


def was_there(sweep_json: Path, now: ExperimentMark) -> bool:
    """Whether a batch's experiment lay where this one does, as far as its record says."""
    try:
        recipe = (read_json(sweep_json)["sessions"] or [{}])[-1].get("recipe") or {}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return True
    place = recipe.get("folder")
    if not isinstance(place, str) or not Path(place).is_dir():
        return True  # nothing says where, or it was moved
    entry = Path(now.top, now.entry).resolve()
    return entry.is_relative_to(Path(place).resolve())


@dataclass(slots=True)
class CodeReport:
    """What there is to say of the code of earlier runs.

    Attributes:
        policy: what is done with runs that other code made.
        followed: the runs that this start reuses, takes up, leaves or, as their code is another,
            runs again.
    """

    policy: OnCodeChange = "warn"
    followed: list[Earlier] = field(default_factory=list)

    def take(self, earlier: Earlier) -> bool:
        """Count a run that the start would follow; False where it is to be run again instead."""
        self.followed.append(earlier)
        return earlier.fits or self.policy != "rerun"

    def refuse(self) -> None:
        """Raise BadInput if `on_code_change` is `stop`, and other code made a run."""
        if self.policy == "stop":
            said = self._of_unfit("would be reused or resumed", "would be reused or resumed")
            if said:
                raise BadInput(
                    f"on_code_change is 'stop', and {'; '.join(said)}; expected the same code, or"
                    " 'warn', 'rerun', a change that is accepted (argus-tasks accept), or --fresh."
                )

    @property
    def notes(self) -> list[str]:
        """What a person should know before the start, one sentence each."""
        done = "run again" if self.policy == "rerun" else "reused or resumed"
        notes = self._of_unfit(f"is {done}", f"are {done}")
        if notes:
            first = min(
                (each for each in self.followed if not each.fits), key=lambda each: -each.code.state
            )
            notes[0] += f"; see: argus-tasks diff {_shown(first.run.run_dir)}"
        for state, text in (
            (CodeState.COSMETIC, "only comments, layout or line ends differ in"),
            (CodeState.ACCEPTED, "a change was accepted:"),
        ):
            found = [each for each in self.followed if each.code.state is state]
            if found:
                notes.append(f"{_runs(len(found))} reused or resumed: {text} {_files(found)}")
        renamed = Counter(each.former_entry for each in self.followed if each.former_entry)
        notes += [f"{_runs(count)} of {name}, renamed since" for name, count in renamed.items()]
        kept = [each for each in self.followed if each.fits or self.policy != "rerun"]
        notes += dict.fromkeys(f"earlier runs: {note}" for each in kept for note in each.code.notes)
        return notes

    def _of_unfit(self, one: str, several: str) -> list[str]:
        said = []
        for state, text in (
            (CodeState.CHANGED, "made by other code:"),
            (CodeState.UNSURE, "perhaps made by other code:"),
            (CodeState.UNKNOWN, "made by code that was not recorded"),
        ):
            found = [each for each in self.followed if each.code.state is state]
            if found:
                files = _files(found)
                who = f"{len(found)} runs that {several} were"
                if len(found) == 1:
                    who = f"1 run that {one} was"
                said.append(f"{who} {text}{' ' * bool(files)}{files}")
        return said


def _runs(count: int) -> str:
    return "1 run is" if count == 1 else f"{count} runs are"


def _shown(folder: str) -> str:
    """The path of a folder, as short as a command in the working folder takes it."""
    here = Path.cwd()
    path = Path(folder).absolute()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _files(found: Iterable[Earlier]) -> str:
    every = (each for one in found for each in one.code.differences if each.state is one.code.state)
    texts = dict.fromkeys(map(str, every))
    shown = list(texts)[:_SHOWN_FILES]
    more = len(texts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
