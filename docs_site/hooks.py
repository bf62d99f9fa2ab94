"""What MkDocs does not do by itself: pages and files from outside `docs/`, and the commands' help.

A link that leaves `docs/` takes its target along: a Markdown page becomes a page of the site, any
other file is copied as it is. So a page reads the same in the repository and on the site. A page
that mkdocs.yml does not name is found under "More".
"""

from __future__ import annotations

import argparse
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = "command-line.md"
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages that the navigation lacks to its end."""
    assert config.nav is not None
    named = set(re.findall(r"[\w./-]+\.md", str(config.nav)))
    there = sorted(path.name for path in Path(config.docs_dir).glob("*.md"))
    lacking = [page for page in there if page not in named]
    if lacking:
        config.nav.append({"More": lacking})
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the page of commands, and every file outside `docs/` that a page links to."""
    files.append(File.generated(config, COMMANDS, content=commands_page()))
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages() if file.abs_src_path]
    seen: set[str] = set()
    while waiting:
        page = waiting.pop()
        for _, link, _ in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
            target = in_repository(page, link)
            if target is None or target in seen or target.startswith("docs/"):
                continue
            seen.add(target)
            files.append(File.generated(config, place_of(target), abs_src_path=str(ROOT / target)))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Turn links that cross the border of `docs/` into links within the site."""
    here = page.file.src_uri
    source = here.removeprefix("repository/") if here.startswith("repository/") else f"docs/{here}"

    def within(match: re.Match[str]) -> str:
        target = in_repository(source, match[2])
        if target is None:
            return match[0]
        place = target.removeprefix("docs/") if target.startswith("docs/") else place_of(target)
        return match[1] + posixpath.relpath(place, posixpath.dirname(here) or ".") + match[3]

    return LINK.sub(within, markdown)


def in_repository(page: str, link: str) -> str | None:
    """The file a link of a page means, from the repository's top; None for other links."""
    if re.match(r"[a-z]+:|/", link):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    return target if (ROOT / target).is_file() else None


def place_of(target: str) -> str:
    """Where a file outside `docs/` goes on the site."""
    return f"repository/{target}"


def commands_page() -> str:
    """Every command with its help, as `argus-tasks COMMAND --help` prints it."""
    from argus_tasks.cli.main import build_parser

    parts = [
        "# Commands",
        "",
        "What `argus-tasks COMMAND --help` says.",
    ]
    for name, parser in subcommands(build_parser()):
        parts += ["", f"## {name}", "", "```text", as_help(parser), "```"]
        for inner, subparser in subcommands(parser):
            parts += ["", f"### {name} {inner}", "", "```text", as_help(subparser), "```"]
    return "\n".join(parts) + "\n"


def subcommands(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    """The commands of a parser by name, each once."""
    found: dict[int, tuple[str, argparse.ArgumentParser]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, subparser in action.choices.items():
                found.setdefault(id(subparser), (name, subparser))
    return list(found.values())


def as_help(parser: argparse.ArgumentParser) -> str:
    """A parser's help, at one width whatever the terminal is."""
    formatter = parser.formatter_class
    parser.formatter_class = lambda prog: formatter(prog, width=88)
    return parser.format_help().rstrip()
