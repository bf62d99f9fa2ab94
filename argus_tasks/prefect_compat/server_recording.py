"""Makes the embedded server's recorder of task runs write to the database more often.

Prefect cuts its setting for that to whole seconds, so every sweep waited half a second on average
at its end. Where nothing has been gathered, nothing is done, however often it is looked at.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from argus_tasks.prefect_compat.hook import PROVEN, Hook

FLUSH_S = 0.1
RECORDER = "prefect.server.services.task_run_recorder"


def record_sooner(flush_s: float = FLUSH_S) -> bool:
    """Called in the server's process when Prefect's application is loaded and not yet started.

    False where this Prefect's recorder is made otherwise: then it keeps its whole seconds.
    """
    recorder: Any = sys.modules.get(RECORDER)
    gather = getattr(recorder, "consumer", None)
    if not callable(gather):
        return False

    def gather_shortly(*args: Any, **words: Any) -> Any:
        if "flush_every" in words:
            words["flush_every"] = min(flush_s, words["flush_every"])
        return gather(*args, **words)

    recorder.consumer = gather_shortly
    return True


def _probe() -> str | None:
    recorder: Any = import_module(RECORDER)
    if not callable(getattr(recorder, "consumer", None)):
        return "its recorder of task runs works differently"
    return None


HOOK = Hook(
    name="server: recording",
    does="has the embedded server record task runs every 0.1 s instead of every second",
    without="a sweep waits up to a second longer at its end",
    gain="0.5 s of a sweep's end (3.8.8)",
    proven=PROVEN,
    probe=_probe,
)
