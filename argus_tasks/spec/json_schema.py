"""The JSON schema of the sweep file, for editors."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from argus_tasks.spec.sections import Section
from argus_tasks.spec.sweep_spec import SweepSpec


class _Plain(GenerateJsonSchema):
    """Without what editors would only repeat: titles of keys, and null for what may be left out."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = schema["schema"]
        if inner["type"] == "nullable" and schema.get("default", ...) is None:
            return self.generate_inner(inner["schema"])
        return super().default_schema(schema)


def json_schema() -> dict[str, Any]:
    """The sweep file as JSON schema, draft 2020-12.

    It knows all keys and types. What it cannot say (low < high, keys that no config has) the
    program says.
    """
    for section in _sections(Section):
        _describe(section)
    schema = SweepSpec.model_json_schema(by_alias=True, schema_generator=_Plain)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "argus-tasks sweep file",
        "description": "Which function to run, and with which configs.",
        "properties": {
            "$schema": {"type": "string", "description": "The schema of this file, for editors."},
            **schema["properties"],
        },
    }


def _sections(base: type[Section]) -> Iterator[type[Section]]:
    """Those below `base`, each after what it is made of, as they must be rebuilt."""
    for section in base.__subclasses__():
        yield section
        yield from _sections(section)


def _describe(section: type[Section]) -> None:
    """Each key's docstring becomes its description. Pydantic would do it when the class is made:
    15 ms of every start, for what only the schema shows."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(tree, ast.ClassDef)
    for field, text in pairwise(tree.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            name, docstring = ast.unparse(field.target), ast.literal_eval(text.value)
            section.model_fields[name].description = inspect.cleandoc(docstring)
    section.model_rebuild(force=True)
