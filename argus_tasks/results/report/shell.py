"""The page around what is told: head, style, script, and the policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from argus_tasks.results.report.markup import Markup, fill, join


def page(
    title: str, top: Markup, sections: Sequence[tuple[str, str, Markup]], made: datetime
) -> str:
    """The HTML of a page: `top` stands under its title; of each section the id, title and body.

    Sections without a body are left out.
    """
    there = [(key, name, body) for key, name, body in sections if body]
    script = _text("report.js")
    return str(
        fill(
            "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
            "<meta http-equiv=Content-Security-Policy content=\"default-src 'none';"
            " style-src 'unsafe-inline'; script-src '{policy}'; img-src data:; base-uri 'none';"
            " form-action 'none'\">"
            "<meta name=viewport content='width=device-width, initial-scale=1'>"
            "<meta name=color-scheme content='light dark'><link rel=icon href='data:,'>"
            "<title>{title}</title><style>{style}</style></head><body>"
            "<header><h1>{title}</h1>{top}<nav aria-label=Sections>{links}</nav>"
            "</header><main>{sections}</main>"
            "<footer class=small>Made {made} by argus-tasks from the run folders alone.</footer>"
            "<script>{script}</script></body></html>\n",
            policy=Markup(_hash(script)),
            title=title,
            style=_text("report.css"),
            top=top,
            links=join(fill('<a href="#{}">{}</a>', key, name) for key, name, _ in there),
            sections=join(
                fill("<section id={0}><h2>{1}</h2>{2}</section>", Markup(key), name, body)
                for key, name, body in there
            ),
            made=f"{made:%Y-%m-%d %H:%M} UTC",
            script=script,
        )
    )


def _text(name: str) -> Markup:
    """One of this package's own files."""
    return Markup(files(__package__).joinpath(name).read_text("utf-8"))


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
