"""The rooms of docs/architecture.md, and the imports each may make: an arrow not listed fails.

A folder inside a room is a room, too. Imports under `TYPE_CHECKING` count.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "argus_tasks"
PREFECT_ROOMS = ("orchestration", "prefect_compat", "flows")
HTTPX_ROOMS = ("delivery",)


def module_files() -> list[Path]:
    linked = (ROOT / "flows").glob("*.py")  # rglob passes by a link
    return sorted({*(path for path in ROOT.rglob("*.py") if path.parent != ROOT), *linked})


def name_of(path: Path) -> str:
    return ".".join(("argus_tasks", *path.relative_to(ROOT).with_suffix("").parts))


MODULES = {name_of(path).removesuffix(".__init__"): path for path in module_files()}


def imported(path: Path) -> set[str]:
    """Every name that is imported, a module of ours by its whole name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its arrow"
            assert node.module is not None
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = members & MODULES.keys()
            names |= modules if len(modules) == len(members) else {node.module, *modules}
    return names


def room_of(module: str) -> str:
    """`runs/ledger` for `argus_tasks.runs.ledger.claims`."""
    parts = module.split(".")[1:]
    folder = parts if MODULES[module].name == "__init__.py" else parts[:-1]
    return "/".join(folder)


def arrows_of_the_page() -> dict[str, set[str]]:
    """Each room of the table in docs/architecture.md, and what it may import."""
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    table = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {
        cells[0].strip("`").removesuffix("/"): {word.strip(" `") for word in cells[2].split(",")}
        for cells in table
        if cells[0].endswith("/`")
    }


ARROWS = arrows_of_the_page()


def allowed(room: str) -> set[str]:
    """A room's own arrows, and those of the room that it lies in."""
    whole, _, _ = room.partition("/")
    return ARROWS[room] | ARROWS[whole] | {room}


def may_import(room: str, other: str) -> bool:
    arrows = allowed(room)
    return "all" in arrows or other in arrows or other.partition("/")[0] in arrows - {room}


def test_every_room_stands_in_the_table() -> None:
    rooms = {room_of(module) for module in MODULES}
    assert rooms == ARROWS.keys() - {"deployments"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_follow_the_arrows(module: str) -> None:
    room = room_of(module)
    for name in imported(MODULES[module]):
        assert name != "argus_tasks", "no module imports the package root"
        if name in MODULES:
            assert may_import(room, room_of(name)), f"{room} may not import {name}"
        top = name.split(".")[0]
        if top.startswith("prefect"):
            assert room.startswith(PREFECT_ROOMS), name
        if top == "httpx":
            assert room.startswith(HTTPX_ROOMS), name


def test_no_circle() -> None:
    graph = {module: imported(path) & MODULES.keys() - {module} for module, path in MODULES.items()}
    while True:  # take away what imports none of the rest, and what none of the rest imports
        wanted = set().union(*graph.values())
        rest = {
            module: needs & graph.keys()
            for module, needs in graph.items()
            if needs & graph.keys() and module in wanted
        }
        if rest.keys() == graph.keys():
            break
        graph = rest
    assert not graph


def test_no_two_modules_share_a_name() -> None:
    """Those of the commands excepted: each is named like its command."""
    stems = Counter(
        path.stem
        for path in module_files()
        if path.stem != "__init__" and path.parent.name not in ("cli", "flows")
    )
    assert [stem for stem, count in stems.items() if count > 1] == []


def public_classes() -> Iterator[tuple[str, str]]:
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, module


def test_no_two_public_classes_share_a_name() -> None:
    where: dict[str, list[str]] = {}
    for name, module in public_classes():
        where.setdefault(name, []).append(module)
    # Three frameworks, one callback: the name is argus-reporter's, imported by its module.
    where.pop("ArgusCallback")
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}
