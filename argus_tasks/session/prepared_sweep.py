"""What a start of a sweep has to do, worked out before anything is started or written."""

from __future__ import annotations

from dataclasses import dataclass

from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.sweep_plan import Plan, plan_configs
from argus_tasks.runs.ledger.other_sessions import Neighbours
from argus_tasks.runs.ledger.sweep_folder import SweepFolder


@dataclass(frozen=True, slots=True)
class PreparedSweep:
    """A sweep that could start now; make it with `prepare`.

    Attributes:
        request: what was asked for.
        plan: what there is to do with each config.
        folder: the folder of its batch; nothing has been written there yet.
        others: what other sessions on the results root do from the plan on; None for lists that
            are run as they are (`reuse` off).
    """

    request: SweepRequest
    plan: Plan
    folder: SweepFolder
    others: Neighbours | None


def prepare(request: SweepRequest) -> PreparedSweep:
    """Plan a start. Errors: BadInput, also where `on_code_change` refuses what other code made."""
    others = Neighbours(request.results_root) if request.reuse else None  # before the plan looks
    plan = make_plan(request)
    plan.code_report.refuse()
    return PreparedSweep(request, plan, SweepFolder(request.results_root, plan.batch_id), others)


def make_plan(request: SweepRequest) -> Plan:
    """The plan, read from disk, be its configs listed or drawn by a search. Errors: BadInput."""
    if request.search is None:
        return plan_configs(request)
    from argus_tasks.search.search_plan import plan_search  # needs Optuna

    return plan_search(request)
