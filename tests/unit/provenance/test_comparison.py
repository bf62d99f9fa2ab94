"""Comparing manifests with what there is, without processes."""

from __future__ import annotations

import time
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_tasks.provenance.acceptance import Acceptances
from argus_tasks.provenance.comparison import CodeComparison, CodeState, Comparer, Present, best
from argus_tasks.provenance.cosmetic import is_cosmetic
from argus_tasks.provenance.manifest import Absent, CodeFile, Manifest, Root, name_of
from argus_tasks.provenance.naming import FileNames, FilePlaces
from argus_tasks.provenance.objects import ObjectStore
from argus_tasks.provenance.recording.scope import CodeScope
from argus_tasks.provenance.static_imports import MOST_FILES, imported_files, neighbouring_files

texts = st.text(max_size=20)


@given(
    st.lists(st.builds(CodeFile, texts, texts, st.just("module"), *[st.booleans()] * 4)),
    st.lists(st.builds(Absent, texts, st.lists(texts).map(tuple), st.just(()), st.booleans())),
    st.dictionaries(texts, texts),
    st.lists(texts),
)
def test_a_manifest_is_read_as_it_was_written_and_named_by_content(
    files: list[CodeFile], absent: list[Absent], packages: dict[str, str], notes: list[str]
) -> None:
    roots = (Root("@a", "../a", "/x/a"),)
    manifest = Manifest(tuple(files), tuple(absent), roots, packages, "3.11", (), tuple(notes))
    text = manifest.text()
    again = Manifest.from_text(text)
    assert again.text() == text
    assert sorted(again.files) == sorted(files)
    backwards = Manifest(
        tuple(reversed(files)), tuple(absent), roots, packages, "3.11", (), tuple(notes)
    )
    assert name_of(backwards.text()) == name_of(text)


def compared(
    tmp_path: Path, *files: CodeFile, accepted: Acceptances | None = None, **rest: object
) -> CodeComparison:
    store = ObjectStore(tmp_path / "objects")
    name = store.put_manifest(Manifest(files, **rest))  # type: ignore[arg-type]
    return Comparer(store, str(tmp_path), Present(), accepted or Acceptances()).compare(name)


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def test_the_worst_difference_decides_and_marks_soften(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("new\n")
    other = digest("old\n")
    equal = digest("new\n")
    assert compared(tmp_path, CodeFile("a.py", equal)).state is CodeState.SAME
    assert compared(tmp_path, CodeFile("a.py", equal, unsure=True)).state is CodeState.UNSURE
    assert compared(tmp_path, CodeFile("a.py", other, earlier=True)).state is CodeState.UNSURE
    assert compared(tmp_path, CodeFile("a.py", other, ignored=True)).state is CodeState.SAME
    both = compared(tmp_path, CodeFile("a.py", other, earlier=True), CodeFile("b.py", other))
    assert both.state is CodeState.CHANGED
    assert both.files == ("b.py", "a.py")


def test_no_manifest_is_unknown(tmp_path: Path) -> None:
    comparer = Comparer(ObjectStore(tmp_path), str(tmp_path), Present())
    assert comparer.compare(None).state is CodeState.UNKNOWN
    assert comparer.compare("0" * 64).state is CodeState.UNKNOWN


def test_an_acceptance_is_of_one_pair_and_only_added_to(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("new\n")
    file = tmp_path / "accepted.jsonl"
    accepted = Acceptances(file)
    accepted.add("a.py", digest("old\n"), digest("new\n"), because="the same")
    before = file.read_bytes()
    accepted.add("b.py", None, digest("x"), because="new and harmless")
    assert file.read_bytes().startswith(before)
    old, older = CodeFile("a.py", digest("old\n")), CodeFile("a.py", digest("older\n"))
    assert compared(tmp_path, old, accepted=Acceptances(file)).state is CodeState.ACCEPTED
    assert compared(tmp_path, older, accepted=Acceptances(file)).state is CodeState.CHANGED
    assert [each.because for each in Acceptances(file).all] == ["the same", "new and harmless"]


def test_the_best_run_of_a_digest_is_the_newest_of_the_best_state() -> None:
    runs = [
        (CodeComparison(CodeState.CHANGED), "4"),
        (CodeComparison(CodeState.COSMETIC), "3"),
        (CodeComparison(CodeState.SAME), "1"),
        (CodeComparison(CodeState.SAME), "2"),
        (CodeComparison(CodeState.UNKNOWN), "5"),
    ]
    assert best(runs) == runs[3]
    assert best(runs[4:]) == runs[4]
    assert best([]) is None


def test_cosmetic_is_what_the_syntax_tree_does_not_show() -> None:
    assert is_cosmetic("a.py", b"x=1", b"x = 1  # why\n")
    assert is_cosmetic("a.yaml", b"a: 1\n", b"a: 1\r\n")
    assert not is_cosmetic("a.yaml", b"a: 1\n", b"a: 1 # why\n")
    assert not is_cosmetic("a.py", b"x = 1", b"x = 1.0")
    assert not is_cosmetic("a.py", b"x = 1", b"x = True")
    assert not is_cosmetic("a.py", b"x = 0.0", b"x = -0.0")
    assert not is_cosmetic("a.py", b'"""a"""', b'"""b"""')
    assert not is_cosmetic("a.py", b"x = (", b"x = ( ")
    assert not is_cosmetic("a.bin", b"\0\n", b"\0\r\n")


def test_absent_names_are_filled_by_what_would_be_imported(tmp_path: Path) -> None:
    absent = (Absent(".", names=("json",), bare=("extras",)),)

    def state() -> CodeState:
        return compared(tmp_path, absent=absent).state

    for name in ("json/data.txt", "extras/data.txt", "json.txt", "other.py", "jsonx.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "json" / "part.py").write_text("")  # a bare folder hides no module
    assert state() is CodeState.SAME
    for name in ("extras/part.py", "json.py", "json.cpython-311-x86_64-linux-gnu.so"):
        (tmp_path / name).write_text("")
        assert state() is CodeState.CHANGED, name
        (tmp_path / name).unlink()
    (tmp_path / "json" / "__init__.py").write_text("")
    assert state() is CodeState.CHANGED


def test_names_outside_the_top_lead_there_again(tmp_path: Path) -> None:
    for name in ("one/proj", "one/lib/.git", "two/lib/pkg", "apart/src/pkg"):
        (tmp_path / name).mkdir(parents=True)
    top = str(tmp_path / "one" / "proj")
    names = FileNames(top, {"dist": str(tmp_path / "two" / "lib")}, [str(tmp_path / "apart/src")])
    files = {
        f"{top}/a.py": "a.py",
        f"{tmp_path}/one/lib/b.py": "@lib/b.py",
        f"{tmp_path}/two/lib/pkg/c.py": "@dist/pkg/c.py",
        f"{tmp_path}/apart/src/pkg/d.py": "@apart/src/pkg/d.py",
    }
    assert {path: names.name(path) for path in files} == files
    places = FilePlaces(top, names.roots())
    assert {places.path(name): name for name in files.values()} == files
    (tmp_path / "one").rename(tmp_path / "moved")
    moved = FilePlaces(
        str(tmp_path / "moved" / "proj"), names.roots(), {"dist": str(tmp_path / "apart")}
    )
    assert moved.path("@lib/b.py") == f"{tmp_path}/moved/lib/b.py"
    assert moved.path("@dist/c.py") == f"{tmp_path}/apart/c.py"


def test_two_roots_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("x/lib", "y/lib", "top"):
        (tmp_path / name).mkdir(parents=True)
    names = FileNames(str(tmp_path / "top"))
    first = names.name(f"{tmp_path}/x/lib/a.py")
    second = names.name(f"{tmp_path}/y/lib/a.py")
    assert first == "@lib/a.py"
    assert second != first
    places = FilePlaces(str(tmp_path / "top"), names.roots())
    assert places.path(second) == f"{tmp_path}/y/lib/a.py"


def test_import_statements_are_followed_below_the_project(tmp_path: Path) -> None:
    texts = {
        "train.py": "import json, pkg.sub\nfrom pkg import other\ndef f():\n    import late\n",
        "late.py": "",
        "pkg/__init__.py": "from . import shared\n",
        "pkg/shared.py": "",
        "pkg/sub.py": "from .deep.inner import value\nfrom ..missing import x\n",
        "pkg/deep/__init__.py": "",
        "pkg/deep/inner.py": "import (\n",
        "pkg/other.py": "",
        "pkg/unused.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found, cut = imported_files([str(tmp_path / "train.py")], CodeScope(str(tmp_path)), [])
    expected = {f"{tmp_path}/{name}" for name in texts if name != "pkg/unused.py"}
    assert set(found) == expected
    assert not cut


def test_too_many_files_are_cut_and_said(tmp_path: Path) -> None:
    names = [f"m{at}" for at in range(MOST_FILES + 10)]
    for name in names:
        (tmp_path / f"{name}.py").write_text("")
        (tmp_path / f"{name}.jl").write_text("")
    (tmp_path / "train.py").write_text("".join(f"import {name}\n" for name in names))
    scope = CodeScope(str(tmp_path))
    found, cut = imported_files([str(tmp_path / "train.py")], scope, [])
    assert (len(found), cut) == (MOST_FILES, True)
    found, cut = neighbouring_files(str(tmp_path / "m1.jl"), scope)
    assert (len(found), cut) == (MOST_FILES, True)


def test_neighbours_are_files_of_the_language_in_the_project(tmp_path: Path) -> None:
    for name in ("run.jl", "src/a.jl", "src/b.py", ".git/x.jl", "env/pyvenv.cfg", "env/y.jl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found, cut = neighbouring_files(str(tmp_path / "run.jl"), CodeScope(str(tmp_path)))
    assert found == [f"{tmp_path}/run.jl", f"{tmp_path}/src/a.jl"]
    assert not cut


@pytest.mark.slow
def test_a_manifest_of_5000_files_is_compared_at_about_the_cost_of_hashing(tmp_path: Path) -> None:
    files = []
    for at in range(5_000):
        name = f"p{at % 50}/m{at}.py"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"VALUE = {at}\n" * 700)
        files.append(CodeFile(name, digest(f"VALUE = {at}\n" * 700)))
    store = ObjectStore(tmp_path / "objects")
    name = store.put_manifest(Manifest(tuple(files)))
    ratios = []
    for _ in range(5):
        start = time.process_time()
        for file in files:
            sha256((tmp_path / file.name).read_bytes())
        bare = time.process_time()
        comparer = Comparer(store, str(tmp_path), Present())
        for _ in range(100):
            assert comparer.compare(name).state is CodeState.SAME
        ratios.append((time.process_time() - bare) / (bare - start))
    assert min(ratios) < 2


def test_a_new_file_that_fills_two_absences_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("")
    absent = (Absent(".", ("lib",)), Absent("lib", ("__init__",)))
    found = compared(tmp_path, absent=absent)
    assert [str(each) for each in found.differences] == [
        "lib/__init__.py is new, and would be imported as 'lib'"
    ]
