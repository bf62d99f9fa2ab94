"""The rooms of docs/architecture.md, and the imports each may make: an arrow not listed fails."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "argus_tasks"

ARROWS: dict[str, set[str]] = {
    "base": set(),
    "delivery": {"base"},
    "reporting": {"delivery", "base"},
    "runs": {"base"},
    "sweep": {"runs", "reporting", "base"},
    "results": {"runs", "base"},
    "integrations": {"reporting", "runs", "base"},
    "orchestration": {"sweep", "results", "reporting", "runs", "base"},
    "server": {"base"},
    "flows": {"orchestration", "sweep", "base"},
    "api": {"flows", "server", "sweep", "runs", "base"},
}
PREFECT_ROOMS = {"orchestration", "flows"}
HTTPX_ROOMS = {"delivery"}
EVERYTHING = {*ARROWS, "cli"}


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its arrow"
            assert node.module is not None
            names.add(node.module)
            if node.module == "argus_tasks":
                names |= {f"argus_tasks.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    allowed = EVERYTHING if room == "cli" else ARROWS[room] | {room}
    for name in imported(path):
        if name == "argus_tasks":
            pytest.fail(f"{path} imports the package root")
        if name.startswith("argus_tasks."):
            assert name.split(".")[1] in allowed, f"{path}: {room} may not import {name}"
        top = name.split(".")[0]
        if top.startswith("prefect"):
            assert room in PREFECT_ROOMS, f"{path} imports {name}"
        if top == "httpx":
            assert room in HTTPX_ROOMS, f"{path} imports {name}"


def test_the_table_is_the_one_in_the_docs() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    table = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    rows = {cells[0].split("/`")[0].strip("`").split("/")[-1]: cells[-1] for cells in table}
    for room, arrows in ARROWS.items():
        listed = {word.strip() for word in rows[room].split(",")}
        assert listed - {"standard library"} == arrows, room
