"""The sweep file: read, and checked against its model. docs/sweep-file.md is normative."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field, PrivateAttr, ValidationError

from argus_tasks.base.errors import BadInput
from argus_tasks.spec.config_sections import Filters, JobTemplates, RandomDraws, RepeatsOrCount
from argus_tasks.spec.document import Document, Problem
from argus_tasks.spec.document import Path as KeyPath
from argus_tasks.spec.interpolation import fill_in_all
from argus_tasks.spec.json_reader import read_json
from argus_tasks.spec.problems import given_path, problems_of
from argus_tasks.spec.search_section import Search
from argus_tasks.spec.sections import (
    Code,
    Execution,
    LimitOrCount,
    Metadata,
    OnCodeChange,
    Retry,
    Stop,
    TrackerOrName,
)
from argus_tasks.spec.value_types import Expected, FilePath, Flag, Key, Section, Text, Values
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
    """A sweep: what to run, with which configs, and how.

    Its fields are the keys of the [sweep file](sweep-file.md). `sweep_flow` takes a SweepSpec where
    it takes the path of a sweep file. Make one with `SweepSpec.from_mapping`, or read one with
    `load_sweep_file`.

    Examples:
        >>> from argus_tasks import SweepSpec
        >>> spec = SweepSpec.from_mapping({
        ...     "experiment": "train:run",
        ...     "grid": {"lr": [0.1, 0.01]},
        ...     "execution": {"workers": 2},
        ... })
        >>> spec.grid, spec.execution.workers
        ({'lr': [0.1, 0.01]}, 2)
        >>> SweepSpec.from_mapping({"gird": {"lr": [0.1]}})
        Traceback (most recent call last):
        ...
        argus_tasks.base.errors.BadInput: 'gird' is not a key here. Did you mean 'grid'?
    """

    experiment: ImportPath | None = Field(
        None,
        description="The function to run, as `package.module:function`, importable from the sweep"
        " file's folder; or a Hydra app, as `hydra:path/to/app.py`.",
    )
    command: CommandLine | None = Field(
        None,
        description="A command line to run instead of a function, with keys of the config in"
        " braces: `python train.py --lr {lr}`.",
    )
    cwd: FilePath | None = Field(
        None,
        description="The folder that `command` runs in, relative to the sweep file's folder. By"
        " default, the sweep file's folder.",
    )
    shell: Flag = Field(
        False,
        description="Run `command` with `/bin/sh`, which allows pipes and the like. By default, it"
        " is run without a shell.",
    )
    name: Text | None = Field(
        None,
        description="The name of the sweep. By default, the name of the sweep file without its"
        " suffix; without a file, the name of the function or script.",
    )
    project: Text | None = Field(
        None,
        description="The name of the project on the monitor. By default, the name of the Git"
        " repository's top folder, or of the working folder outside of a repository.",
    )
    experiment_type: Text = Field(
        "sweep",
        description="The kind of experiment, shown on the monitor, such as `forecast`. By default,"
        " `sweep`.",
    )
    results_root: FilePath | None = Field(
        None,
        description="The folder that the run folders are written to. A relative path in a sweep"
        " file is relative to the file's folder; in a call or on the command line, to the working"
        " folder. By default, `results` in the Git repository's top folder, or in the working"
        " folder outside of a repository.",
    )
    base: KeysAndValues = Field(
        default_factory=dict,
        description="Keys and values of every config. A dotted key such as `optim.lr` sets a nested"
        " value.",
    )
    grid: Annotated[dict[Key, Values], Expected("a mapping of keys to lists of values")] = Field(
        default_factory=dict,
        description="A list of values for each key; every combination of them becomes a config.",
    )
    variants: (
        Annotated[
            list[KeysAndValues], Field(min_length=1), Expected("a list of at least one mapping")
        ]
        | None
    ) = Field(
        None,
        description="Sets of values that belong together; each set is combined with every point of"
        " `grid`.",
    )
    random: RandomDraws | None = Field(
        None,
        description="Random draws; each combination of `grid` and `variants` is run with each of"
        " them.",
    )
    include: Filters | None = Field(
        None, description="A filter: only configs that match it are run. By default, all are."
    )
    exclude: Filters | None = Field(
        None, description="A filter: configs that match it are not run. By default, all are run."
    )
    repeats: RepeatsOrCount | None = Field(
        None,
        description="The number of runs of each config, each with its own `seed`. By default, one,"
        " and `seed` is not set.",
    )
    search: Search | None = Field(
        None,
        description="Draw the configs while the sweep runs, as trials of an Optuna study. By"
        " default, all configs are made before the start.",
    )
    ignore_keys: Annotated[list[Key], Expected("a list of keys")] = Field(
        default_factory=list,
        description="Top-level keys of a config that do not count when configs are compared, such"
        " as `device`: configs that differ only in them are equal. By default, all keys"
        " count.",
    )
    on_code_change: OnCodeChange = Field(
        "warn",
        description="What to do with earlier runs that were made by a different version of the"
        " code: `warn` uses them and prints a warning, `rerun` runs them again, `stop`"
        " refuses to start. By default, `warn`.",
    )
    code: Code = Field(
        default_factory=Code,
        description="What counts as the code of a run, and whether it is kept still.",
    )
    inputs: Annotated[list[FilePath], Expected("a list of paths and glob patterns")] = Field(
        default_factory=list,
        description="Data files that runs read, as paths and glob patterns relative to the sweep"
        " file's folder: earlier runs with other content count as made by other code. By default,"
        " data does not count.",
    )
    job: JobTemplates = Field(
        default_factory=JobTemplates,
        description="Templates for the names of jobs, filled with the values of each config.",
    )
    execution: Execution = Field(
        default_factory=Execution,
        description="Where experiments run, how many at the same time, and with which resources.",
    )
    limits: Annotated[
        dict[Key, LimitOrCount],
        Expected("a mapping of names of limits to how many slots they have"),
    ] = Field(
        default_factory=dict,
        description="Global concurrency limits on Prefect's server that attempts take slots of, by"
        " name, such as `license: 2`. Everything on the server that uses the same name"
        " shares the slots. By default, none.",
    )
    retry: Retry = Field(
        default_factory=Retry, description="After which failures, and how often, a run is retried."
    )
    stop: Stop = Field(
        default_factory=Stop,
        description="Rules that stop the sweep, or that hold back configs that are likely to fail.",
    )
    metadata: Metadata = Field(
        default_factory=Metadata,
        description="Facts to be recorded in the `meta.json` of each run, in addition to those that"
        " are recorded automatically.",
    )
    trackers: Annotated[
        list[TrackerOrName], Expected("a list of names, or of mappings of type and kwargs")
    ] = Field(
        default_factory=list,
        description="Experiment trackers that receive the start, the metrics and the end of each"
        " run, such as `mlflow`. By default, none.",
    )

    _source: Path | None = PrivateAttr(None)
    _document: Document = PrivateAttr(Document(None))

    @property
    def source(self) -> Path | None:
        """The absolute path of the sweep file; None if the sweep does not come from a file."""
        return self._source

    @property
    def folder(self) -> Path:
        """The absolute path of the sweep file's folder; without a file, the working folder."""
        return self._source.parent if self._source else Path.cwd()

    @property
    def results_path(self) -> Path | None:
        """`results_root` as an absolute path; None if it is not given."""
        if self.results_root is None:
            return None
        return Path(os.path.abspath(self.folder / Path(self.results_root).expanduser()))  # noqa: PTH100 - links stay

    def problem(self, path: KeyPath, sentence: str) -> BadInput:
        """The error for a wrong value at a path of the file, with the line where it is known."""
        document = self._document
        return BadInput(document.locate(given_path(path, document.value)) + sentence)

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, Any], *, environ: Mapping[str, str] | None = None
    ) -> SweepSpec:
        """Make a sweep from a mapping with the keys of the sweep file.

        Args:
            mapping: what a JSON sweep file would contain.
            environ: where `${NAME}` in values is looked up; by default, the environment of this
                process.

        Returns:
            The checked sweep. It has no file, so relative paths are relative to the working folder.

        Raises:
            BadInput: with one sentence for each wrong value.
        """
        problems: list[Problem] = []
        value = fill_in_all(mapping, os.environ if environ is None else environ, problems)
        return _check(Document(value, problems=tuple(problems)), None)


def load_sweep_file(
    path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None
) -> SweepSpec:
    """Read a sweep file.

    Args:
        path: a file whose name ends in `.yaml`, `.yml` or `.json`.
        environ: where `${NAME}` in values is looked up; by default, the environment of this
            process.

    Returns:
        The checked sweep.

    Raises:
        BadInput: with one sentence, and the line, for each wrong value; also if the file cannot be
            read.
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
