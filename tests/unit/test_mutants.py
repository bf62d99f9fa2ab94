"""The tool behind `make mutants`, on a small tree; and that its list fits the code as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.mutants import (
    END,
    LIST,
    PAGE,
    ROOT,
    START,
    BadList,
    Mutant,
    main,
    mutants,
    outcome,
    place_of,
)

CODE = """LIMIT = 3


class Shop:
    def open(self, hour):
        if hour < 9:
            return False
        return hour < 18

    def sells(self, count):
        return count <= LIMIT or (
            count == 0
        )
"""
TESTS = """from argus_tasks.room.shop import Shop
def test_hours():
    assert not Shop().open(20)
    assert not Shop().open(3)
def test_sales():
    assert Shop().sells(2)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    room, tests = tmp_path / "argus_tasks" / "room", tmp_path / "tests" / "unit" / "room"
    for folder in (room, tests):
        folder.mkdir(parents=True)
    (room.parent / "__init__.py").touch()
    (room / "shop.py").write_text(CODE)
    (tests / "test_shop.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    (tmp_path / PAGE).parent.mkdir()
    (tmp_path / PAGE).write_text(f"before\n{START}\nold\n{END}\nafter\n")
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    for command in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def listed(tree: Path, *entries: tuple[str, str, str, str]) -> Path:
    path = tree / "list.toml"
    keys = ("of", "source", "becomes", "survives")
    lines: list[str] = []
    for each in entries:
        lines.append("[[mutant]]")
        lines += [f"{key} = '{value}'" for key, value in zip(keys, each, strict=True)]
    path.write_text("\n".join(lines))
    return path


def test_the_list_fits_the_code() -> None:
    for mutant in mutants(LIST):
        place_of(mutant, ROOT)


def test_the_page_says_what_the_list_says() -> None:
    said = (ROOT / PAGE).read_text().partition(START)[2].partition(END)[0]
    assert said.partition(": ")[2].rstrip() == outcome(mutants(LIST))


def test_a_source_text_is_found_wherever_it_stands_exactly_once(tree: Path) -> None:
    wide = Mutant("Shop.sells", "or ( count == 0 )", "")
    assert place_of(wide, tree).path == tree / "argus_tasks" / "room" / "shop.py"
    moved = tree / "moved" / "argus_tasks" / "hall" / "other.py"
    moved.parent.mkdir(parents=True)
    moved.write_text("import os\n\n" + CODE)
    assert place_of(wide, tree / "moved").path == moved
    twice = tree / "twice" / "argus_tasks"
    for name in ("one.py", "two.py"):
        twice.mkdir(parents=True, exist_ok=True)
        (twice / name).write_text(CODE)
    with pytest.raises(BadList, match=r"Shop\.sells has it 2 times in argus_tasks; expected exac"):
        place_of(wide, twice.parent)
    with pytest.raises(BadList, match=r"Shop\.open has it 2 times"):
        place_of(Mutant("Shop.open", "hour <", ""), tree)
    with pytest.raises(BadList, match=r"Shop\.shut is not defined"):
        place_of(Mutant("Shop.shut", "hour", ""), tree)


@pytest.mark.slow
def test_what_is_not_noticed_needs_a_reason(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noticed = ("Shop.open", "return hour < 18", "return True", "")
    silent = ("LIMIT", "LIMIT = 3", "LIMIT = 4", "")
    code = tree / "argus_tasks" / "room" / "shop.py"
    excused = ("Shop.open", "hour < 9", "hour < 0", "never mind")
    assert main(["--jobs=1"], root=tree, listed=listed(tree, noticed, silent, excused)) == 1
    said = capsys.readouterr().out
    assert "killed    Shop.open: 'return hour < 18' -> 'return True'  (tests/unit/room/" in said
    assert "survived  LIMIT: 'LIMIT = 3' -> 'LIMIT = 4'  (no reason given)" in said
    assert "though the list has a reason why not: Shop.open: 'hour < 9'" in said
    assert "3 mutants, 2 of them not as" in said
    assert code.read_text() == CODE
    silent = (*silent[:3], "four will do")
    whole = (tree / PAGE).read_text()
    assert main(["--jobs=1", "LIMIT"], root=tree, listed=listed(tree, noticed, silent)) == 0
    assert (tree / PAGE).read_text() == whole
    assert main(["--jobs=1"], root=tree, listed=listed(tree, noticed, silent)) == 0
    page = (tree / PAGE).read_text()
    assert page.startswith(f"before\n{START}\nThe last whole run, of commit ")
    assert "2 mutants, 1 killed, 1 survived." in page
    assert page.endswith(f"four will do |\n{END}\nafter\n")
    (tree / "tests" / "unit" / "room" / "test_shop.py").write_text("def test_it(): assert 0\n")
    assert main(["--jobs=1"], root=tree, listed=listed(tree, noticed)) == 2
    assert "without any mutant, tests/unit/room -m not slow fails" in capsys.readouterr().out
