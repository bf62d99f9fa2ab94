"""The pages' templates: what is put into one is escaped, unless it is markup itself."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from argus_tasks.base.visible import visible
from argus_tasks.results.tables.table import plural, value_text


def render(name: str, made: datetime, **values: object) -> str:
    """The page of a template of this package: one file that needs no other, and no network."""
    script = package_text("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()
    return (
        _environment()
        .get_template(name)
        .render(
            values,
            policy=f"sha256-{digest}",
            style=Markup(package_text("report.css")),
            script=Markup(script),
            made=f"{made:%Y-%m-%d %H:%M} UTC",
        )
    )


def package_text(name: str) -> str:
    """One of this package's own files."""
    return files(__package__).joinpath(name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(package_text),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["plural"] = plural
    environment.filters["value"] = value_text
    return environment


def shown(value: object) -> object:
    """Text without what HTML may not hold or what turns text round."""
    if isinstance(value, Markup):
        return value
    return visible(str(value).encode("utf-8", "replace").decode("utf-8"))
