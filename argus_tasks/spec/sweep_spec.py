"""The sweep file, read and checked. docs/sweep-file.md is normative."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field, PrivateAttr, ValidationError

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.document import Document, Problem
from argus_tasks.spec.document import Path as KeyPath
from argus_tasks.spec.interpolation import fill_in_all
from argus_tasks.spec.json_reader import read_json
from argus_tasks.spec.problems import given_path, problems_of
from argus_tasks.spec.search_section import Search
from argus_tasks.spec.sections import (
    Execution,
    Expected,
    FilePath,
    Filters,
    Flag,
    JobTemplates,
    Key,
    LimitOrCount,
    Metadata,
    OnCodeChange,
    RandomDraws,
    RepeatsOrCount,
    Retry,
    Section,
    Stop,
    Text,
    TrackerOrName,
    Values,
)
from argus_tasks.spec.yaml_reader import read_yaml

ImportPath: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
        r"|hydra:[^:]+\.py(:[A-Za-z_]\w*)?)$"
    ),
    Expected('"package.module:function", or "hydra:path/to/app.py"'),
]
CommandLine: TypeAlias = Annotated[
    Text | Annotated[list[str], Field(min_length=1)],
    Expected("a command line, as text or as a list of texts"),
]
KeysAndValues: TypeAlias = Annotated[dict[Key, Any], Expected("a mapping of keys to values")]


class SweepSpec(Section):
    """A sweep: which function to run, with which configs, and how.

    `SweepSpec.from_mapping` makes one of the mapping that a JSON sweep file would hold; the keys
    are those of the sweep file. `sweep_flow` takes it, as it takes the path of such a file.
    """

    experiment: ImportPath | None = Field(
        None,
        description="The function: `package.module:function`, importable from the file's own"
        " folder; or a Hydra app: `hydra:path/to/app.py`.",
    )
    command: CommandLine | None = Field(
        None,
        description="A command line in place of the function, with keys of the config in braces.",
    )
    cwd: FilePath | None = Field(
        None,
        description="The folder that the command runs in, relative to the file's folder; that one"
        " where it is not given.",
    )
    shell: Flag = Field(False, description="The command, a text, is given to `/bin/sh`.")
    name: Text | None = Field(
        None, description="The sweep's name; the file's stem where it is not given."
    )
    project: Text | None = Field(
        None,
        description="The project; the name of git's top folder where not given, else the working"
        " folder's.",
    )
    experiment_type: Text = Field(
        "sweep", description="What kind of experiment this is, for the monitor."
    )
    results_root: FilePath | None = Field(
        None,
        description="Where the run folders go, relative to the file's folder; `results` in git's"
        " top folder where it is not given, else in the working folder.",
    )
    base: KeysAndValues = Field(
        default_factory=dict,
        description="Keys and values of every config. Dotted keys (`optim.lr`) set nested values.",
    )
    grid: Annotated[dict[Key, Values], Expected("a mapping of keys to lists of values")] = Field(
        default_factory=dict, description="Every combination of these values."
    )
    variants: (
        Annotated[
            list[KeysAndValues], Field(min_length=1), Expected("a list of at least one mapping")
        ]
        | None
    ) = Field(None, description="Sets of values that belong together; each is one alternative.")
    random: RandomDraws | None = Field(
        None, description="Random draws; each point is crossed with each of them."
    )
    include: Filters | None = Field(None, description="Only configs that match stay.")
    exclude: Filters | None = Field(None, description="Configs that match go.")
    repeats: RepeatsOrCount | None = Field(
        None, description="How often each config is run, each time with its own `seed`."
    )
    search: Search | None = Field(
        None, description="Configs are drawn while the sweep runs, as trials of an Optuna study."
    )
    ignore_keys: Annotated[list[Key], Expected("a list of keys")] = Field(
        default_factory=list,
        description="Top-level keys that do not make a config a different one.",
    )
    on_code_change: OnCodeChange = Field(
        "warn",
        description="What becomes of earlier runs that another code has made: `warn` uses them and"
        " says so, `rerun` runs them again, `stop` refuses to start.",
    )
    job: JobTemplates = Field(
        default_factory=JobTemplates, description="Names of jobs, made of the config's values."
    )
    execution: Execution = Field(
        default_factory=Execution,
        description="Where the function runs, and how many at a time.",
    )
    limits: Annotated[
        dict[Key, LimitOrCount],
        Expected("a mapping of names of limits to how many slots they have"),
    ] = Field(
        default_factory=dict,
        description="Limits on Prefect's server, shared with whatever else names them:"
        " `license: 2`.",
    )
    retry: Retry = Field(
        default_factory=Retry, description="When, and how often, a failed run is tried again."
    )
    stop: Stop = Field(
        default_factory=Stop,
        description="When the sweep stops by itself, or holds configs back.",
    )
    metadata: Metadata = Field(
        default_factory=Metadata,
        description="What the `meta.json` of each run says besides what is found out by itself.",
    )
    trackers: Annotated[
        list[TrackerOrName], Expected("a list of names, or of mappings of type and kwargs")
    ] = Field(
        default_factory=list,
        description="Who else is told of each run's start, metrics and end.",
    )

    _source: Path | None = PrivateAttr(None)
    _document: Document = PrivateAttr(Document(None))

    @property
    def source(self) -> Path | None:
        """The file it was read from, absolute; None where there was none."""
        return self._source

    @property
    def folder(self) -> Path:
        """The folder of the file, else the working folder, absolute."""
        return self._source.parent if self._source else Path.cwd()

    @property
    def results_path(self) -> Path | None:
        """`results_root` as an absolute path; None where it is not given."""
        if self.results_root is None:
            return None
        return Path(os.path.abspath(self.folder / Path(self.results_root).expanduser()))  # noqa: PTH100 - links stay

    def problem(self, path: KeyPath, sentence: str) -> BadInput:
        """The error that says what is wrong at a path of the file, with its line where known."""
        document = self._document
        return BadInput(document.locate(given_path(path, document.value)) + sentence)

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, Any], *, environ: Mapping[str, str] | None = None
    ) -> SweepSpec:
        """A sweep from the mapping that a JSON sweep file would hold.

        Errors: BadInput, a sentence for each thing that is wrong.
        """
        problems: list[Problem] = []
        value = fill_in_all(mapping, os.environ if environ is None else environ, problems)
        return _check(Document(value, problems=tuple(problems)), None)


def load_sweep_file(
    path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None
) -> SweepSpec:
    """The sweep of a YAML or JSON file.

    `environ` is where `${NAME}` is looked up; the process's environment where it is not given.
    Errors: BadInput, a sentence with the line for each thing that is wrong.
    """
    label = os.fspath(path)
    readers = {".yaml": read_yaml, ".yml": read_yaml, ".json": read_json}
    reader = readers.get(Path(label).suffix.lower())
    if reader is None:
        raise BadInput(f"{label}: a sweep file's name ends in .yaml, .yml or .json.")
    try:
        text = Path(label).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"{label}: there is no such file.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{label}: the file is not UTF-8 text.") from None
    except OSError as error:
        raise BadInput(f"{label}: cannot be read: {error.strerror or error}.") from None
    document = reader(text, label, os.environ if environ is None else environ)
    return _check(document, Path(label).absolute())


def _check(document: Document, source: Path | None) -> SweepSpec:
    value = document.value
    if not isinstance(value, Mapping):
        found = "nothing in it" if value is None else f"a {type(value).__name__}"
        raise BadInput(f"{document.locate(())}a sweep file is a mapping of keys; this is {found}.")
    given = {key: item for key, item in value.items() if key != "$schema" and item is not None}
    found_problems = list(document.problems)
    try:
        spec = SweepSpec.model_validate(given)
    except ValidationError as error:
        known = {problem.path for problem in found_problems}
        found_problems += [
            problem for problem in problems_of(error, given, SweepSpec) if problem.path not in known
        ]
    if found_problems:
        found_problems.sort(key=lambda problem: document.line(problem.path))
        raise BadInput(
            "\n".join(
                document.locate(problem.path) + problem.sentence for problem in found_problems
            )
        )
    if source is not None and spec.name is None:
        spec = spec.model_copy(update={"name": source.stem})
    spec._source = source
    spec._document = document
    return spec
