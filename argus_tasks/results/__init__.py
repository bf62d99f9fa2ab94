"""Reading run folders: rows, leaderboards, comparisons. The package itself can be called:
`argus_tasks.results(path)` is `argus_tasks.results.tables.frames.results(path)`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A call and a package of one name: importing anything in it must not hide the call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from argus_tasks.results.tables.frames import results

        return results(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
