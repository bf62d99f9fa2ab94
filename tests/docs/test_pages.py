"""Docs that run: links lead somewhere, snippets work as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from argus_tasks.spec.expansion import expand
from argus_tasks.spec.sweep_spec import load_sweep_file

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in sorted(
        [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/**/README.md")]
    )
    if not {".venv", ".venv-integrations", "node_modules"} & set(path.parts)
]
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
SNIPPET = re.compile(r"(?:<!-- ([^\n]*) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if not link.startswith(("http", "#", "mailto:")):
            assert (page.parent / link.partition("#")[0]).exists(), f"{name(page)}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_anchors_are_there(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if anchor and target.suffix == ".md" and not link.startswith("http"):
            assert anchor in anchors(target), f"{name(page)}: {link}"


def anchors(page: Path) -> set[str]:
    """The headings of a page, as they are named in a link."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def snippets(page: str, language: str) -> list[str]:
    return [
        code
        for remark, kind, code in SNIPPET.findall((ROOT / page).read_text())
        if kind == language and remark != "not run"
    ]


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/python.md", pytest.param("docs/index.md", marks=pytest.mark.slow)],
)
def test_python_snippets_run(page: str, tmp_path: Path, api_url: str) -> None:
    found = snippets(page, "python")
    assert found
    for number, code in enumerate(found):
        script = tmp_path / f"snippet_{number}.py"
        script.write_text(code)
        for expected in ("", "reused") if "__main__" in code else ("",):
            done = subprocess.run(
                [sys.executable, script.name],
                cwd=tmp_path,
                env={**os.environ, "PREFECT_API_URL": api_url},
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert expected in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_sweep_files_are_ones(page: Path, tmp_path: Path) -> None:
    for _, kind, code in SNIPPET.findall(page.read_text()):
        if kind == "yaml" and re.search("^(experiment|command):", code, re.MULTILINE):
            (tmp_path / "sweep.yaml").write_text(code)
            load_sweep_file(tmp_path / "sweep.yaml", environ={"USER": "ada"})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_snippets_are_python(page: Path) -> None:
    for _, kind, code in SNIPPET.findall(page.read_text()):
        if kind == "python":
            compile(code, str(page), "exec")


def test_the_reporters_snippet_runs_without_a_server(tmp_path: Path) -> None:
    (code,) = snippets("docs/events.md", "python")
    (tmp_path / "plots").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no monitor") == 1


def test_the_readmes_sweep_file_is_one(tmp_path: Path) -> None:
    (code,) = snippets("README.md", "yaml")
    (tmp_path / "sweep.yaml").write_text(code)
    assert len(expand(load_sweep_file(tmp_path / "sweep.yaml")).configs) == 8


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_commands(page: Path) -> None:
    """Each `argus-tasks` line of a shell snippet parses; each make target is there."""
    from argus_tasks.cli.main import build_parser

    found = SNIPPET.findall(page.read_text())
    lines = [line for _, kind, code in found if kind == "sh" for line in code.splitlines()]
    ours = [line for line in lines if line.startswith("argus-tasks ")]
    parser = build_parser() if ours else None
    assert len(ours) >= 7 or page.name != "README.md" or page.parent != ROOT
    for line in ours:
        assert parser is not None
        try:
            parser.parse_args(shlex.split(line.split("&&")[0], comments=True)[1:])
        except SystemExit:
            pytest.fail(f"{name(page)}: {line}")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in lines:
        if line.startswith("make "):
            assert line.split()[1] in targets, line
