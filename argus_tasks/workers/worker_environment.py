"""The environment variables that all workers get in addition to those of the sweep's own
process."""

from __future__ import annotations

from collections.abc import Mapping

from argus_tasks.base.cpus import usable_cpus
from argus_tasks.planning.request import SweepRequest
from argus_tasks.spec.gpus import VISIBLE

_OPENMP = "OMP_NUM_THREADS"
# The variables of libraries that follow OMP_NUM_THREADS unless their own variable is set.
_GO_BY_OPENMP = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_NUMBA = "NUMBA_NUM_THREADS"


def shared_environment(request: SweepRequest, environ: Mapping[str, str]) -> dict[str, str]:
    """Thread counts for numeric libraries, and no GPU if the option `gpus` is 0.

    `environ` is the user's environment; variables that it has are left unchanged.
    """
    added = thread_counts(request.workers, usable_cpus(), environ)
    if request.execution.gpus == 0:
        added[VISIBLE] = ""
    return added


def thread_counts(workers: int, cores: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Thread counts with which all workers together use each core once; at least 1 each.

    Variables that the user has set are left unchanged. OMP_NUM_THREADS also counts for the
    libraries that follow it.
    """
    names = [_NUMBA] if _OPENMP in environ else [_OPENMP, *_GO_BY_OPENMP, _NUMBA]
    share = str(max(1, cores // workers))
    return {name: share for name in names if name not in environ}
