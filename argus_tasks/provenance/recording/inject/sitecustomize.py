"""Make a Python process that an experiment has started record what it loads, then step aside.

Any version of Python may read this file. It leaves `sys.path` and `sys.modules` as they would be
without it, and runs the `sitecustomize` that it stands before.
"""

# mypy: ignore-errors
# ruff: noqa: BLE001, S110, UP031, UP036

import os
import sys


def _record(here):
    recording = os.path.dirname(here)
    room = os.path.dirname(recording)
    before = set(sys.modules)
    # The packages themselves are not run: they load what the user's code may want to load first.
    for name, folder in (("argus_tasks", os.path.dirname(room)), ("argus_tasks.provenance", room)):
        module = type(sys)(name)
        module.__path__ = [folder]
        sys.modules[name] = module
    try:
        from argus_tasks.provenance.recording.import_hooks import start_in_child

        start_in_child()
    finally:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "argus_tasks":
                del sys.modules[name]


def _run_next(here):
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError:
        pass
    finally:
        sys.modules.setdefault("sitecustomize", own)


def _say_that_it_does_not():
    with open("/proc/self/cmdline") as handle:
        words = handle.read().split("\0")
    for word in words[1:]:
        if word.endswith(".py"):
            with open(os.environ["ARGUS_TASKS_CODE"].partition("\x1f")[0], "a") as journal:
                journal.write("%d\tbounded\t%s\n" % (os.getpid(), os.path.abspath(word)))


_HERE = os.path.dirname(os.path.abspath(__file__))
try:
    if sys.version_info >= (3, 8):
        _record(_HERE)
    else:  # what it would load is found by its imports, then
        _say_that_it_does_not()
except Exception:
    pass
_run_next(_HERE)
