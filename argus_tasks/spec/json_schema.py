"""The JSON schema of the sweep file, for editors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from argus_tasks.spec.sweep_spec import SweepSpec


class _Plain(GenerateJsonSchema):
    """Leaves out what editors would only repeat: titles of keys, and null for optional keys."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = schema["schema"]
        if inner["type"] == "nullable" and schema.get("default", ...) is None:
            return self.generate_inner(inner["schema"])
        return super().default_schema(schema)


def json_schema() -> dict[str, Any]:
    """The sweep file as JSON schema, draft 2020-12.

    It contains all keys and types. Rules between keys (low < high, keys that no config has) are
    checked by the program alone.
    """
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
