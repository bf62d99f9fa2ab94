"""What a start of a sweep has to do, be its configs listed or drawn by a search."""

from __future__ import annotations

from argus_tasks.planning.request import SweepRequest
from argus_tasks.planning.sweep_plan import Plan, plan_configs


def make_plan(request: SweepRequest) -> Plan:
    """The plan, read from disk; nothing is written. Errors: BadInput."""
    if request.search is None:
        return plan_configs(request)
    from argus_tasks.search.search_plan import plan_search  # needs Optuna

    return plan_search(request)
