"""Finds an experiment, identifies its code, and sends it to workers."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pickle
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput, did_you_mean
from argus_tasks.base.repo import repo_of
from argus_tasks.experiments.hydra_app import HYDRA, HydraApp
from argus_tasks.experiments.identity import (
    code_identity,
    identity_of_function,
    mark_of_command,
    mark_of_file,
    mark_of_function,
    mark_of_module,
)
from argus_tasks.experiments.script import Script
from argus_tasks.provenance.project import ExperimentMark
from argus_tasks.runs.context.run_context import RunContext
from argus_tasks.spec.command_line import SCHEMES, Command

ExperimentResult = Mapping[str, Any] | float | None
ExperimentFunction = Callable[
    [RunContext], ExperimentResult | Coroutine[Any, Any, ExperimentResult]
]


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment that can be sent to workers.

    Attributes:
        name: the name of the function; `sweep` for a lambda.
        identity: what the digests of its runs contain: its file below the project's top and its
            name there; of a lambda or closure its code and the values that it closes over too. None
            if nothing identifies it, and then nothing is reused.
        path: the import path, if workers can import it; or a command line (`command:...`,
            `shell:...`), or a Hydra app (`hydra:...`).
        pickled: the pickled function, if workers cannot import it; see `for_workers`.
        folder: a folder to put first on `sys.path`; None for none. For a command line, the folder
            that it runs in.
        function: the function itself, if the caller gave one.
        mark: which experiment it is, as its runs keep it; None if nothing says where it stands.
        former_identity: what the digests of runs contain that were made before they kept a mark.
    """

    name: str
    identity: str | None
    path: str | None = None
    pickled: bytes | None = None
    folder: str | None = None
    function: ExperimentFunction | None = None
    mark: ExperimentMark | None = None
    former_identity: str | None = None

    @property
    def is_command(self) -> bool:
        """Whether it is a command line, which runs in processes of its own."""
        return (self.path or "").startswith(SCHEMES)

    def load(self, grace_s: float | None = None) -> ExperimentFunction:
        """Load the function.

        Args:
            grace_s: the time in seconds that a script gets to end itself, where no worker's keeper
                ends it.

        Raises:
            BadInput: if the path leads to nothing.
        """
        if self.function is not None:
            return self.function
        if self.is_command:
            return Script(Command.from_path(str(self.path)), str(self.folder), grace_s)
        if self.path is not None and self.path.startswith(HYDRA):
            return HydraApp.from_path(self.path, Path(str(self.folder))).load()
        if self.folder and self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        if self.pickled is not None:
            function: ExperimentFunction = pickle.loads(self.pickled)
            return function
        return _import(str(self.path))

    def for_workers(self) -> Experiment:
        """A copy that can be sent to other processes.

        Raises:
            BadInput: for a function that has no import path and cannot be pickled.
        """
        if self.function is None or self.path is not None:
            return self
        return replace(self, pickled=_by_value(self.function))


def experiment_from(given: ExperimentFunction | str, folder: Path | None = None) -> Experiment:
    """Find the experiment of a function or a path.

    The module of an import path is not imported here, but in the workers.

    Args:
        given: a function; an import path `package.module:function`; the path of a file,
            `folder/module.py:function`; a command line `command:python train.py --lr {lr}` (or
            `shell:`); or a Hydra app, `hydra:folder/app.py`.
        folder: where modules are looked for first, what a file's path is relative to, and where a
            command runs; by default, the working folder.

    Raises:
        BadInput: if it is none of these, or the module does not exist.
    """
    if isinstance(given, str):
        if given.startswith(SCHEMES):
            return _from_command(given, folder or Path.cwd())
        if given.startswith(HYDRA):
            return _from_hydra(given, folder or Path.cwd())
        return _from_path(given, folder)
    if not callable(given):
        raise BadInput(
            f"experiment is {given!r}; expected a function or an import path"
            " such as 'package.module:function'."
        )
    return _from_function(given)


def _from_command(path: str, folder: Path) -> Experiment:
    command = Command.from_path(path)
    command.check_place(folder)
    place = folder.resolve()
    former = f"{command.path} (in {_home_path(place, place)})"
    mark, identity = mark_of_command(command, place)
    return Experiment(
        command.name,
        identity,
        path=command.path,
        folder=str(place),
        mark=mark,
        former_identity=former,
    )


def _from_hydra(path: str, folder: Path) -> Experiment:
    app = HydraApp.from_path(path, folder)
    former = f"{HYDRA}{_home_path(app.file, folder)}{app.colon_function}"
    mark = mark_of_file(app.file, f"{HYDRA}{app.function or ''}")
    place = str(app.file.parent)
    return Experiment(
        app.name, mark.identity, path=app.path, folder=place, mark=mark, former_identity=former
    )


def _home_path(path: Path, folder: Path) -> str:
    """The path relative to the top of the Git work tree, so that it is the same in every clone;
    without Git, the whole path."""
    repo = repo_of(folder)
    top = repo.top.resolve() if repo else None
    return path.relative_to(top).as_posix() if top and path.is_relative_to(top) else str(path)


def _from_path(path: str, folder: Path | None) -> Experiment:
    module, colon, name = path.partition(":")
    if not colon or not module or not name:
        raise BadInput(
            f"experiment is '{path}'; expected an import path such as 'package.module:function'."
        )
    if module.endswith(".py"):
        file = (folder or Path.cwd()) / module
        if not file.is_file():
            raise BadInput(f"experiment is '{path}', but there is no file {file}.")
        module, folder = file.stem, file.parent
        path = f"{module}:{name}"
    place = str(folder.resolve()) if folder is not None else None
    if not _findable(module, place):
        where = f" (looked in {place} and sys.path)" if place else ""
        raise BadInput(
            f"experiment is '{path}', but there is no module '{module}' to import{where}."
        )
    mark = mark_of_module(module, name, place)
    identity = mark.identity if mark is not None else path
    short = name.rpartition(".")[2]
    return Experiment(short, identity, path=path, folder=place, mark=mark, former_identity=path)


def _from_function(function: ExperimentFunction) -> Experiment:
    module = getattr(function, "__module__", None) or "__main__"
    qualname = getattr(function, "__qualname__", type(function).__qualname__)
    name = qualname.rpartition(".")[2]
    name = "sweep" if name == "<lambda>" else name
    if module != "__main__" and _leads_back(module, qualname, function):
        path = f"{module}:{qualname}"
        mark = mark_of_module(module, qualname, None)
        return Experiment(
            name,
            mark.identity if mark is not None else path,
            path=path,
            function=function,
            mark=mark,
            former_identity=path,
        )
    mark = mark_of_function(function)
    identity = identity_of_function(function, mark)
    former = code_identity(function)
    return Experiment(name, identity, function=function, mark=mark, former_identity=former)


def _findable(module: str, folder: str | None) -> bool:
    before = list(sys.path)
    if folder:
        sys.path.insert(0, folder)
    try:
        importlib.invalidate_caches()
        top = module.partition(".")[0]
        if folder and (Path(folder, f"{top}.py").exists() or Path(folder, top).is_dir()):
            return Path(folder, *module.split(".")).with_suffix(".py").exists() or bool(
                Path(folder, *module.split("."), "__init__.py").exists()
            )
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False
    finally:
        sys.path[:] = before


def _import(path: str) -> ExperimentFunction:
    module, _, qualname = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        if not hasattr(found, part):
            near = did_you_mean(part, [name for name in dir(found) if name[0] != "_"])
            raise BadInput(f"experiment is '{path}', but '{module}' has no '{part}'.{near}")
        found = getattr(found, part)
    if not callable(found):
        raise BadInput(f"experiment is '{path}', which is {found!r}, not a function.")
    function: ExperimentFunction = found
    return function


def _leads_back(module: str, qualname: str, function: object) -> bool:
    """Whether a new process finds this very function by its import path."""
    if "<" in qualname:
        return False
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if found is not function:
        return False
    try:
        return importlib.util.find_spec(module) is not None and _on_path(module)
    except (ImportError, ValueError, AttributeError):
        return False


def _on_path(module: str) -> bool:
    """Whether the module is on `sys.path`: `find_spec` also finds modules that were loaded from
    elsewhere."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return True
    here = Path(file).resolve()
    steps = module.count(".") + (2 if here.name == "__init__.py" else 1)
    root = here
    for _ in range(steps):
        root = root.parent
    return any(Path(entry or ".").resolve() == root for entry in sys.path) or _finder_knows(module)


def _finder_knows(module: str) -> bool:
    """Whether an import hook (an editable install) finds the module's top package."""
    top = module.partition(".")[0]
    return any(
        finder.find_spec(top, None) is not None
        for finder in sys.meta_path
        if hasattr(finder, "find_spec")
    )


def _by_value(function: object) -> bytes:
    import cloudpickle

    module = inspect.getmodule(function)
    outside = module is not None and module.__name__ != "__main__" and not _on_path(module.__name__)
    if outside:
        cloudpickle.register_pickle_by_value(module)
    try:
        pickled: bytes = cloudpickle.dumps(function)
    except Exception as error:
        raise BadInput(
            f"experiment {function!r} cannot be sent to a worker process ({error});"
            " move it to a module, or use mode 'sequential' or 'thread'."
        ) from error
    finally:
        if outside:
            cloudpickle.unregister_pickle_by_value(module)
    return pickled
