"""Which configs are this session's to run: nobody else has them, and nobody has settled them."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from argus_tasks.base.ids import new_run_id
from argus_tasks.planning.sweep_plan import Action, PlannedRun
from argus_tasks.provenance.comparison import CodeState
from argus_tasks.runs.ledger.catalogue import KnownRun, known_run
from argus_tasks.runs.ledger.claims import Claim, Claims, shared_files
from argus_tasks.runs.record.close_abandoned import close_lost_run
from argus_tasks.runs.record.hashes import hashes_of
from argus_tasks.runs.record.layout import FAILED, RUNNING, SKIPPED, SUCCEEDED
from argus_tasks.session.prepared_sweep import PreparedSweep

log = logging.getLogger("argus_tasks")


class ConfigClaims:
    """The configs of one session; safe to use from many threads.

    What others have done since the plan was made is seen. Lists that are run as they are (`reuse`
    off) and configs without a digest are claimed by nobody.

    Args:
        prepared: the session's plan and folder.
        on_settled: called with each config that needs no run any more, and the run that settles it.

    Attributes:
        waiting: configs that another sweep runs now, by their index.
        settled: configs that another sweep has settled since the plan was made.
    """

    def __init__(
        self, prepared: PreparedSweep, on_settled: Callable[[PlannedRun, KnownRun], None]
    ) -> None:
        self._root = prepared.request.results_root
        self._fresh = prepared.request.fresh
        self._plan = prepared.plan
        self._folder = prepared.folder
        self._others = prepared.others
        self._on_settled = on_settled
        self._claims: Claims | None = None
        self._ours: dict[int, PlannedRun] = {}
        self._lock = threading.Lock()
        self.waiting: dict[int, PlannedRun] = {}
        self.settled: dict[int, KnownRun] = {}

    def check(self) -> None:
        """Errors: OSError where what sessions share on the results root cannot be written to."""
        if self._others is not None:
            for path in shared_files(self._root):
                if os.path.exists(path) and not os.access(path, os.W_OK):  # noqa: PTH110
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def open(self) -> None:
        """Tell other sessions of this one, and close the runs that dead ones have left running.

        Errors: OSError.
        """
        folder = self._folder
        if self._others is None:
            return
        self._others.note_start(folder.batch_id)
        self._claims = Claims(self._root, folder.batch_id)
        self._claims.open()
        lost = {
            run.known.run_id: run.digest
            for run in self._plan.to_do
            if run.digest is not None and run.known is not None and run.known.status == RUNNING
        }
        for run_id, started in folder.open_attempts().items():
            if started.get("digest"):
                lost[run_id] = str(started["digest"])
        for run_id, digest in lost.items():
            try:
                if self._claims.take(digest, run_id) is not None:
                    self._put_right(digest, run_id)
                    self._claims.give_back(digest)
            except OSError as error:
                log.warning(
                    "%s, which a dead session left running, is not closed: %s", run_id, error
                )

    def take(self, run: PlannedRun) -> PlannedRun | None:
        """The config as it is to be run now, once it is ours; None where it is not.

        It is then one of `waiting` or `settled`. Where claims cannot be written (a full disk), the
        config is run without.
        """
        with self._lock:
            ours = self._ours.get(run.index)
            if ours is not None:
                return ours
            try:
                ours = self._take(run)
            except OSError as error:
                log.warning("%s is not claimed: %s", run.name, error)
                ours = replace(run, run_id=_run_id(run))
            if ours is not None:
                self._ours[run.index] = ours
            return ours

    def freed(self) -> list[PlannedRun]:
        """The configs that other sweeps ran, and that are this one's to run now."""
        return [run for run in list(self.waiting.values()) if self.take(run) is not None]

    def ours(self, run: PlannedRun) -> PlannedRun:
        """The config as it was taken; as it was planned where it has not been."""
        return self._ours.get(run.index, run)

    def claim(self, run: PlannedRun) -> Claim | None:
        """The claim of a config that is ours; None where it needs none."""
        if self._claims is None or run.digest is None:
            return None
        return self._claims.mine(run.digest)

    def let_go(self, run: PlannedRun) -> None:
        """Give up the claim of a config that is settled, or not to be run any more."""
        if self._claims is not None and run.digest is not None:
            with suppress(OSError):
                self._claims.give_back(run.digest)

    def settle(self, run: PlannedRun, known: KnownRun) -> None:
        """Settle a config by a run that is not this session's."""
        self.settled[run.index] = known
        self._on_settled(run, known)

    def renew(self) -> bool:
        """Touch our claims; False where another sweep has taken one over."""
        return self._claims is None or not self._claims.renew()

    def close(self) -> None:
        """Give up all claims."""
        if self._claims is not None:
            self._claims.close()

    def count(self, status: str) -> int:
        """How many configs others have settled so since the plan was made."""
        return sum(run.status == status for run in self.settled.values())

    @property
    def failed_run_ids(self) -> list[str]:
        """The runs of other sweeps that have failed since the plan was made."""
        return [run.run_id for run in self.settled.values() if run.status == FAILED]

    def _take(self, run: PlannedRun) -> PlannedRun | None:
        run_id = _run_id(run)
        if self._claims is None or run.digest is None:
            return replace(run, run_id=run_id)
        while True:
            if self._claims.take(run.digest, run_id) is None:
                self.waiting[run.index] = run
                return None
            self.waiting.pop(run.index, None)
            now = self._look_again(replace(run, run_id=run_id))
            if now is not None and now.run_id == run_id:
                return now
            self._claims.give_back(run.digest)
            if now is None:
                return None
            run, run_id = now, str(now.run_id)  # a claim names the run that it is for

    def _look_again(self, run: PlannedRun) -> PlannedRun | None:
        """What is to be done with a config that we have just claimed; None where it is settled."""
        assert self._claims is not None
        assert self._others is not None
        assert run.digest is not None
        if self._fresh:
            return run
        before = self._claims.taken_over(run.digest)
        was_running = run.known.run_id if run.known and run.known.status == RUNNING else None
        last = self._others.last_run(run.digest) or (before.run_id if before else was_running)
        if last is None or (run.known and last == run.known.run_id and was_running is None):
            return run
        known = known_run(self._root, last)
        if known is not None and known.status == RUNNING:
            known = self._close_lost(run.digest, known)
        if known is None:
            return run
        if self._made_by_other_code_since(run, known):
            own = new_run_id() if known.run_id == run.run_id else run.run_id
            return replace(run, action=Action.RUN, known=known, run_id=own)
        if known.status in (SUCCEEDED, SKIPPED) or not known.resumable:
            self.settle(run, known)
            return None
        return replace(run, action=Action.RESUME, known=known, run_id=known.run_id)

    def _made_by_other_code_since(self, run: PlannedRun, known: KnownRun) -> bool:
        """Whether a run that another sweep made since the plan has other code than ours: what the
        plan knew is the plan's to decide."""
        planned = run.known
        if self._plan.earlier is None or (
            planned is not None
            and known.run_id == planned.run_id
            and known.record.get("manifest") == planned.record.get("manifest")
        ):
            return False
        return self._plan.earlier.compare(known).state is CodeState.CHANGED

    def _put_right(self, digest: str, run_id: str) -> None:
        """Close the run of a killed session in its folder, and in the ledger."""
        known = known_run(self._root, run_id)
        if known is not None and known.status == RUNNING:
            self._close_lost(digest, known)
        elif known is not None:
            self._note_end(known)

    def _close_lost(self, digest: str, known: KnownRun) -> KnownRun | None:
        """Close a run that its owner has left as running; we hold its claim."""
        assert self._claims is not None
        before = self._claims.taken_over(digest)
        owner_gone = before is not None and before.run_id == known.run_id
        lost = close_lost_run(known.run_dir, owner_gone=owner_gone)
        if lost is None:
            return None
        now = known_run(self._root, known.run_id)
        if now is not None:
            self._note_end(now)
        return now

    def _note_end(self, known: KnownRun) -> None:
        """Without a job id: it is no task run of this session's."""
        self._folder.note(
            digest=known.digest,
            run_id=known.run_id,
            attempt=known.attempt,
            event="ended",
            status=known.status,
            cause=known.record.get("cause"),
            files=hashes_of(known.run_dir),
        )


def _run_id(run: PlannedRun) -> str:
    if run.run_id:
        return run.run_id
    return run.known.run_id if run.known and run.action is Action.RESUME else new_run_id()
