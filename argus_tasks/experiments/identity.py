"""Which experiment something is: the file that it stands in, and its name there.

What its code says is not a part of that, so that corrected code is the same experiment; it is
compared beside it. The code of a lambda or a closure is, for it has no name of its own.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import inspect
import linecache
import os
import sys
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from argus_tasks.base.ids import canonical_json
from argus_tasks.base.redact import redact
from argus_tasks.provenance.project import ExperimentMark, Project
from argus_tasks.provenance.recording.content import sha256_hex
from argus_tasks.spec.command_line import Command

_NOTEBOOK = "notebook"
_THE_FILE = "{file}"


def mark_of_module(module: str, qualname: str, folder: str | None) -> ExperimentMark | None:
    """The mark of a function by its import path; None where its module lies in no file."""
    loaded = getattr(sys.modules.get(module), "__file__", None) if folder is None else None
    file = Path(os.path.abspath(loaded)) if loaded else module_file(module, folder)  # noqa: PTH100
    if file is None:
        return None
    root = file.parents[module.count(".") + (file.stem == "__init__")]
    return ExperimentMark.of(Project.of(root), file, qualname)


def mark_of_file(file: Path, qualname: str) -> ExperimentMark:
    """The mark of what stands in a file. Errors: OSError."""
    return ExperimentMark.of(Project.of(file.parent), file, qualname)


def mark_of_command(command: Command, folder: Path) -> tuple[ExperimentMark, str]:
    """The mark of a command: the first file that it names, else the folder that it runs in. Its
    name is its text, in which that file is left out, so that it may be renamed.

    Returns:
        The mark, in whose name secrets are masked, and the identity, in which they are not.
    """
    project = Project.of(folder)
    for word in command.words[0].split() if command.shell else command.words:
        file = Path(os.path.abspath(folder / word))  # noqa: PTH100 - links stay
        if file.is_file() and file.is_relative_to(project.top):
            text = command.path.replace(word, _THE_FILE, 1)
            mark = ExperimentMark.of(project, file, redact(text))
            return mark, f"{mark.entry}:{text}"
    text = redact(command.path)
    where = project.name_of(folder)
    # What a command without a file runs is not known: elsewhere it may be anything.
    place = project.repository or str(folder)
    digest = sha256_hex(f"{place}\n{text}".encode("utf-8", "replace"))
    mark = ExperimentMark(where, text, digest, str(project.top), project.repository)
    return mark, f"{where}:{command.path}"


def mark_of_function(function: object) -> ExperimentMark | None:
    """The mark of a function that no import path leads to; None where nothing says where it
    stands."""
    inner = inspect.unwrap(function) if callable(function) else function
    if not isinstance(inner, FunctionType):
        return None
    file, qualname = inner.__code__.co_filename, inner.__qualname__
    if Path(file).is_file():
        return mark_of_file(Path(file), qualname)
    cell = "".join(linecache.getlines(file))
    if not cell:
        return None
    project = Project.of(Path.cwd())
    digest = sha256_hex(cell.encode("utf-8", "surrogatepass"))
    return ExperimentMark(
        _notebook(project), qualname, digest, str(project.top), project.repository
    )


def identity_of_function(function: object, mark: ExperimentMark | None) -> str | None:
    """What the digests of a function's runs contain; None where nothing identifies it."""
    if mark is None:
        return code_identity(function)
    inner = inspect.unwrap(function) if callable(function) else function
    closed = isinstance(inner, FunctionType) and inner.__closure__
    if "<" not in mark.qualname and not closed:
        return mark.identity
    code = code_identity(inner)
    return code and f"{mark.identity}#{code}"


def module_file(module: str, folder: str | None) -> Path | None:
    """The file of a module, which is not imported: looked for in a folder first."""
    top, *below = module.split(".")
    for entry in (folder, *sys.path) if folder else sys.path:
        spec = importlib.machinery.PathFinder.find_spec(top, [entry or os.getcwd()])  # noqa: PTH109
        if spec is not None and (spec.origin or spec.submodule_search_locations):
            break
    else:
        loaded = sys.modules.get(top)
        try:
            spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(top)
        except (ImportError, ValueError, AttributeError):
            return None
    for name in below:
        places = spec.submodule_search_locations if spec is not None else None
        spec = importlib.machinery.PathFinder.find_spec(name, places) if places else None
    file = Path(os.path.abspath(spec.origin)) if spec is not None and spec.origin else None  # noqa: PTH100 - links stay
    return file if file is not None and file.is_file() else None


def _notebook(project: Project) -> str:
    """The name of the notebook that this process runs, as far as its server says so."""
    main = vars(sys.modules["__main__"])
    named = main.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    file = Path(named) if named else Path.cwd() / _NOTEBOOK
    return project.name_of(file if file.is_absolute() else Path.cwd() / file)


def code_identity(function: object) -> str | None:
    """A hash of a function's own code and of the values that it closes over; None where these
    cannot be hashed."""
    if not isinstance(function, FunctionType):
        return None
    try:
        closed = [cell.cell_contents for cell in function.__closure__ or ()]
        parts = [
            _code_text(function.__code__),
            canonical_json([_value_text(value) for value in closed]),
            canonical_json([_value_text(value) for value in function.__defaults__ or ()]),
            canonical_json(
                {key: _value_text(value) for key, value in (function.__kwdefaults__ or {}).items()}
            ),
        ]
    except (ValueError, TypeError):
        return None
    return "code:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _code_text(code: CodeType) -> str:
    constants = [
        _code_text(item) if isinstance(item, CodeType) else repr(item)
        for item in code.co_consts
        if not (isinstance(item, frozenset) and len(item) > 1)  # its order is not stable
    ]
    return "|".join([code.co_code.hex(), *code.co_names, *code.co_varnames, *constants])


def _value_text(value: object) -> Any:
    """A closed-over value as JSON that is the same in every process. Raises TypeError if there is
    none."""
    if value is None or isinstance(value, bool | int | float | str):
        return [type(value).__name__, value]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *[_value_text(item) for item in value]]
    if isinstance(value, dict):
        return {str(key): _value_text(item) for key, item in value.items()}
    if isinstance(value, FunctionType):
        inner = code_identity(value)
        if inner is not None:
            return inner
    if inspect.ismodule(value) or inspect.isclass(value):
        return getattr(value, "__qualname__", value.__name__)
    raise TypeError(f"{value!r} has no stable text")
