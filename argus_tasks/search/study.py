"""The Optuna study of a batch: draws trials, and records how they ended."""

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
    """The states of a trial in a study."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class KnownTrial:
    """A trial of a study; `params` are its values as the study stores them."""

    number: int
    state: TrialState
    params: Mapping[str, Any]


def study_name(name: str, batch_id: str) -> str:
    """The name of the study: readable, and different for each batch."""
    return f"{name}-{job_suffix(batch_id)}"


class Study:
    """The study of one batch; safe to use from many threads.

    Args:
        search: the search.
        space: the space, on top of the sweep's base config.
        name: the name of the study.
        folder: the folder of the batch, for the study's file if `search.storage` is not given.
        base: the base config, which must not change while the study goes on.
        workers: the number of trials that run at the same time.
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
        """The trials so far. A study that does not exist has none, and is not created.

        Raises:
            BadInput: if the study belongs to another search.
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
        """Create the study, or continue it.

        Raises:
            BadInput: as `known_trials`.
        """
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
        """Close its storage."""
        with self._lock:
            study, journal = self._study, self._journal
            self._study = self._journal = None
            if journal is not None:
                journal.close()
            elif study is not None:
                study._storage.remove_session()

    def ask(self, number: int) -> KnownTrial:
        """Draw a new trial, or complete trial `number` if an earlier process died while drawing it.

        Raises Optuna's own errors.
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
        """Whether the trial has ended in the study."""
        return number in self._finished

    def report(self, number: int, step: int, value: float) -> None:
        """Report an intermediate value; only the first value for a step counts."""
        with self._lock:
            if number in self._finished:
                return
            trial = self._trial(number)
            steps = self._steps.setdefault(number, set())
            if step not in steps:
                steps.add(step)
                trial.report(value, step)

    def should_prune(self, number: int) -> bool:
        """Whether the pruner ends the trial, after what was reported last."""
        with self._lock:
            return number not in self._finished and self._trial(number).should_prune()

    def tell(self, number: int, state: TrialState, value: float | None = None) -> None:
        """Record how a trial ended; a trial that has ended already stays unchanged."""
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
        """The sampler for one trial, seeded by the seed and the number, so that a study that was
        interrupted continues as if it had not been."""
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
        """Refuse a study that belongs to another search."""
        before = study.user_attrs.get(_DEFINITION)
        for key, now in self._definition.items():
            if isinstance(before, Mapping) and before.get(key) != now:
                raise BadInput(
                    f"{key} is not what it was when study '{self._name}' began; expected the same,"
                    " or a new batch (--fresh)."
                )


def _silence_optuna() -> None:
    """Turn off Optuna's own log messages and warnings, which are for its developers."""
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
        """Optuna's sampler, without its attempt to stop the study after the last combination."""

        def after_trial(self, *_: object) -> None:
            """Do nothing: the sweep counts the trials."""

    return Grid(grid, seed=seed)


def _known(trial: FrozenTrial) -> KnownTrial:
    return KnownTrial(trial.number, TrialState[trial.state.name], trial.params)
