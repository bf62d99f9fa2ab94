"""Runs as a table: a list of dicts, a DataFrame, a Parquet file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

from argus_tasks.base.errors import ArgusTasksError, BadInput
from argus_tasks.base.files import write_output
from argus_tasks.base.jsonable import to_jsonable
from argus_tasks.base.nested import flatten
from argus_tasks.results.read.load import load_batch
from argus_tasks.results.read.rows import Row

Kind: TypeAlias = Literal["pandas", "polars", "rows"]
KINDS: tuple[Kind, ...] = ("pandas", "polars", "rows")


def results(
    path: str | os.PathLike[str], batch: str | None = None, kind: Kind | None = None
) -> Any:
    """Read the runs under a results root as a table: a row for each run.

    Examples:
        >>> from argus_tasks import ExpRunner, results
        >>> _ = ExpRunner([{"lr": 0.5}], "results", lambda ctx: {"loss": 0.25}).run()
        >>> (row,) = results("results", kind="rows")
        >>> row["status"], row["lr"], row["loss"]
        ('succeeded', 0.5, 0.25)

    Args:
        path: the results root.
        batch: a batch id, for the runs of that batch only; by default the newest run of each
            config.
        kind: `pandas` or `polars` for a DataFrame, `rows` for a list of dicts; by default the first
            of these that is installed.

    Returns:
        A DataFrame, or a list of dicts. Columns are `run_id`, `status`, the keys of configs and
        metrics (nested keys joined with dots), and keys of the run's record: `cause`, `started_at`,
        `duration_sec` (seconds), `peak_ram_mb` (megabytes), `attempt`, `batch_id`, `path` and so
        on. A key with the name of another column is `config.<key>` or `metric.<key>`.

    Raises:
        BadInput: there is no such folder, batch or kind, or the folder has no runs.
        ArgusTasksError: pandas or polars is asked for and not installed.
    """
    chosen: str = kind or next(name for name in KINDS if name == "rows" or find_spec(name))
    if chosen not in KINDS:
        raise BadInput(f"kind is {kind!r}; expected {', '.join(KINDS)}.")
    loaded, _ = load_batch(path, batch)
    found = records(loaded.rows)
    if chosen == "rows":
        return found
    try:
        library = import_module(chosen)
    except ImportError:
        raise ArgusTasksError(f"{chosen} is not installed: pip install {chosen}") from None
    if chosen == "pandas":
        return library.DataFrame(found, columns=_names(found))
    return library.DataFrame(typed_columns(found), strict=False)


def records(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Each run as one flat dict: config and metrics by dotted key, then the keys of its record.

    A config key or a metric that has the name of another column is `config.<key>`, `metric.<key>`.
    """
    parts = [(flatten(row.config), flatten(row.metrics), _facts(row)) for row in rows]
    config_keys = {key for config, _, _ in parts for key in config}
    metric_names = {name for _, metrics, _ in parts for name in metrics}
    fact_names = {name for _, _, facts in parts for name in facts}
    return [
        {
            "run_id": facts["run_id"],
            "status": facts["status"],
            **_named(config, "config", metric_names | fact_names),
            **_named(metrics, "metric", config_keys | fact_names),
            **facts,
        }
        for config, metrics, facts in parts
    ]


def write_parquet(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Write the runs to a Parquet file.

    Errors: ArgusTasksError where pyarrow is not installed; BadInput where the file cannot be
    written.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise ArgusTasksError(
            "Parquet needs pyarrow, which is not installed: pip install 'argus-tasks[parquet]'"
        ) from None
    sink = arrow.BufferOutputStream()
    parquet.write_table(arrow.table(typed_columns(records(rows))), sink)
    try:
        write_output(os.fspath(path), sink.getvalue().to_pybytes())
    except OSError as error:
        raise BadInput(f"{os.fspath(path)!r} cannot be written: {error.strerror}.") from None


def typed_columns(found: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The records by column, each of one type: mixed or nested values become JSON text."""
    return {name: _alike([record.get(name) for record in found]) for name in _names(found)}


def _names(found: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for record in found for name in record))


def _named(values: dict[str, Any], prefix: str, taken: set[str]) -> dict[str, Any]:
    return {f"{prefix}.{key}" if key in taken else key: value for key, value in values.items()}


def _facts(row: Row) -> dict[str, Any]:
    facts = {
        name: getattr(row, name)
        for name in Row.__dataclass_fields__
        if name not in ("config", "metrics")
    }
    return facts | {"path": str(row.path)}


def _alike(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 and kinds <= {bool, str, float}:
        return values
    if kinds <= {int, float}:
        if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):
            return values
        try:
            return [None if value is None else float(value) for value in values]
        except OverflowError:  # an integer beyond all floats
            pass
    return [
        value if value is None or isinstance(value, str) else json.dumps(to_jsonable(value))
        for value in values
    ]
