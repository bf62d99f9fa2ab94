"""A batch's Optuna study: asked for trials, told what became of them."""

from __future__ import annotations

import hashlib
import logging
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argus_tasks.base.errors import ArgusTasksError, BadInput
from argus_tasks.base.ids import canonical_json, job_suffix
from argus_tasks.spec.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

    from argus_tasks.search.journal import StudyJournal
    from argus_tasks.spec.search_section import Search

STUDY_FILE = "study.journal"
_DEFINITION = "argus_tasks"

log = logging.getLogger("argus_tasks")


class TrialState(StrEnum):
    """What a study knows of a trial."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class KnownTrial:
    """A trial of a study; `params` as the study has them."""

    number: int
    state: TrialState
    params: Mapping[str, Any]


def study_name(name: str, batch_id: str) -> str:
    """The study's name: readable, and another one for each batch."""
    return f"{name}-{job_suffix(batch_id)}"


class Study:
    """The study of one batch; safe to use from many threads.

    Args:
        search: what is searched.
        space: the space, over the sweep's base.
        name: the study's name.
        folder: the batch's folder, which has the study's file unless `search.storage` says where.
        base: what every config has, for its identity.
        workers: how many trials run at once.
    """

    def __init__(
        self,
        search: Search,
        space: SearchSpace,
        *,
        name: str,
        folder: Path,
        base: Mapping[str, Any],
        workers: int,
    ) -> None:
        self._search = search
        self._space = space
        self._name = name
        self._folder = folder
        self._workers = workers
        self._definition = _definition(search, base)
        self._lock = threading.RLock()
        self._study: OptunaStudy | None = None
        self._journal: StudyJournal | None = None
        self._trials: dict[int, Trial] = {}
        self._steps: dict[int, set[int]] = {}
        self._finished: set[int] = set()
        self._interrupted: set[int] = set()

    def known_trials(self) -> list[KnownTrial]:
        """The trials so far; of a study that is not there yet, none, and none is made.

        Errors: BadInput where the study is of another search.
        """
        own = self._folder / STUDY_FILE
        if self._search.storage is None and not own.exists():
            return []
        import optuna

        _silence_optuna()
        try:
            study = optuna.load_study(study_name=self._name, storage=self._storage(looking=True))
        except KeyError:
            return []
        except Exception as error:
            raise self._unusable(error) from error
        try:
            self._check_same(study)
            return [_known(trial) for trial in study.get_trials(deepcopy=False)]
        finally:
            study._storage.remove_session()

    def open(self) -> None:
        """Make the study, or go on with it. Errors: BadInput as `look`."""
        import optuna

        _silence_optuna()
        try:
            self._study = study = optuna.create_study(
                study_name=self._name,
                storage=self._storage(looking=False),
                sampler=self._sampler(0),
                pruner=_pruner(self._search),
                direction="minimize" if self._search.direction == "min" else "maximize",
                load_if_exists=True,
            )
        except Exception as error:
            raise self._unusable(error) from error
        if _DEFINITION not in study.user_attrs:
            study.set_user_attr(_DEFINITION, self._definition)
        self._check_same(study)
        for trial in map(_known, study.get_trials(deepcopy=False)):
            if trial.state is TrialState.RUNNING and not self._space.has(trial.params):
                self._interrupted.add(trial.number)
            elif trial.state not in (TrialState.WAITING, TrialState.RUNNING):
                self._finished.add(trial.number)

    def close(self) -> None:
        """Let its storage go."""
        with self._lock:
            study, journal = self._study, self._journal
            self._study = self._journal = None
            if journal is not None:
                journal.close()
            elif study is not None:
                study._storage.remove_session()

    def ask(self, number: int) -> KnownTrial:
        """A new trial, its values drawn; where trial `number` was cut off while it was asked, that
        one. Errors: Optuna's own.
        """
        with self._lock:
            study = self._open()
            if number in self._interrupted:
                self._interrupted.discard(number)
                study.sampler = self._sampler(number)
                trial = self._trial(number)
            else:
                study.sampler = self._sampler(len(study.get_trials(deepcopy=False)))
                trial = study.ask()
                self._trials[trial.number] = trial
            return KnownTrial(trial.number, TrialState.RUNNING, self._space.suggest(trial))

    def is_finished(self, number: int) -> bool:
        """Whether the trial has ended, for the study."""
        return number in self._finished

    def report(self, number: int, step: int, value: float) -> None:
        """An intermediate value; of several with one step the first counts."""
        with self._lock:
            if number in self._finished:
                return
            trial = self._trial(number)
            steps = self._steps.setdefault(number, set())
            if step not in steps:
                steps.add(step)
                trial.report(value, step)

    def should_prune(self, number: int) -> bool:
        """Whether the pruner gives the trial up, after what was reported last."""
        with self._lock:
            return number not in self._finished and self._trial(number).should_prune()

    def tell(self, number: int, state: TrialState, value: float | None = None) -> None:
        """How a trial ended; one that has been told before keeps what it was."""
        from optuna.trial import TrialState as OptunaState

        with self._lock:
            if number in self._finished:
                return
            self._finished.add(number)
            self._open().tell(
                number,
                value if state is TrialState.COMPLETE else None,
                state=OptunaState[state.name],
            )
            self._trials.pop(number, None)
            self._steps.pop(number, None)

    def _open(self) -> OptunaStudy:
        if self._study is None:
            raise ArgusTasksError(f"study '{self._name}' is not open")
        return self._study

    def _trial(self, number: int) -> Trial:
        from optuna.trial import Trial

        trial = self._trials.get(number)
        if trial is None:
            study = self._open()
            frozen = study.get_trials(deepcopy=False)[number]
            trial = self._trials[number] = Trial(study, frozen._trial_id)
            self._steps[number] = set(frozen.intermediate_values)
        return trial

    def _storage(self, *, looking: bool) -> BaseStorage | str:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        given = self._search.storage
        if given is None:
            from argus_tasks.search.journal import StudyJournal

            path = self._folder / STUDY_FILE
            if looking:
                return JournalStorage(JournalFileBackend(str(path)))
            journal = self._journal = StudyJournal(path)
            return JournalStorage(journal)
        if "://" in given:
            return given
        if looking and not Path(given).exists():
            raise KeyError(given)
        return JournalStorage(JournalFileBackend(given))

    def _sampler(self, number: int) -> BaseSampler:
        """The sampler for one trial: drawn by seed and number, so that a study that was cut off
        goes on as if it had not been."""
        from optuna import samplers

        seed = int(hashlib.sha256(f"{self._search.seed}/{number}".encode()).hexdigest()[:8], 16)
        if self._search.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        if self._search.sampler == "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        if self._search.sampler == "tpe":
            return samplers.TPESampler(seed=seed, constant_liar=self._workers > 1)
        return _grid_sampler(self._space.grid(), self._search.seed)

    def _unusable(self, error: Exception) -> BadInput:
        where = self._search.storage or self._folder / STUDY_FILE
        return BadInput(
            f"search.storage is '{where}', which cannot be used ({type(error).__name__}: {error});"
            " expected a journal file or a database of Optuna's."
        )

    def _check_same(self, study: OptunaStudy) -> None:
        """The trials of one study are of one search."""
        before = study.user_attrs.get(_DEFINITION)
        for key, now in self._definition.items():
            if isinstance(before, Mapping) and before.get(key) != now:
                raise BadInput(
                    f"{key} is not what it was when study '{self._name}' began; expected the same,"
                    " or a new batch (--fresh)."
                )


def _silence_optuna() -> None:
    """What Optuna has to say of its own is for its developers."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _definition(search: Search, base: Mapping[str, Any]) -> dict[str, str]:
    """What must not change while a study goes on, as texts."""
    space = {key: each.model_dump(exclude_none=True) for key, each in search.space.items()}
    grid = search.seed if search.sampler == "grid" else None
    return {
        "search.metric": search.metric,
        "search.direction": search.direction,
        "search.space": canonical_json(space),
        "base": canonical_json(base),
        "the grid's search.seed": canonical_json(grid),
    }


def _pruner(search: Search) -> BasePruner:
    from optuna import pruners

    if search.pruner == "median":
        return pruners.MedianPruner()
    if search.pruner == "asha":
        return pruners.SuccessiveHalvingPruner()
    return pruners.NopPruner()


def _grid_sampler(grid: Mapping[str, list[Any]], seed: int) -> BaseSampler:
    from optuna.samplers import GridSampler

    class Grid(GridSampler):
        """Optuna's, which would stop an optimization that is not its own at the last point."""

        def after_trial(self, *_: object) -> None:
            """How many trials there are is the sweep's to count."""

    return Grid(grid, seed=seed)


def _known(trial: FrozenTrial) -> KnownTrial:
    return KnownTrial(trial.number, TrialState[trial.state.name], trial.params)
