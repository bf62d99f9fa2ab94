"""Whether the tests notice a fault: `make mutants` makes each of `mutants.toml`, and runs them.

A fault is made in a copy of the tree, never in the tree. It is named by what it changes (a
function, or a module's constant, by its qualified name) and that one's source text, so files may
move. First the tests run without a fault: those of the room, and those that the list names. With
one, they must fail, or take too long. Exit code 1 where a fault is not noticed and the list does
not say why, 2 where one cannot be made. A run of the whole list in which all is as it says is noted
in docs/mutants.md.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".toml")
PACKAGE = "argus_tasks"
PAGE = Path("docs", "mutants.md")
START, END = "<!-- table: tests/mutants.py -->", "<!-- end of table -->"


class BadList(Exception):
    """The list of mutants, or what it is run on, is not as it must be."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    Attributes:
        of: the qualified name of the function, class or module constant that is changed.
        source: what is changed of it: there exactly once; any white space fits any other.
        becomes: what it is changed to.
        tests: files that are run before the rest of the room; slow tests of them, too.
        survives: why no test can notice it, or which is to be written.
    """

    of: str
    source: str
    becomes: str
    tests: tuple[str, ...] = ()
    survives: str = ""

    def __str__(self) -> str:
        return f"{self.of}: {self.source!r} -> {self.becomes!r}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mutant's source text stands."""

    path: Path
    start: int
    end: int

    def tests(self, root: Path, mutant: Mutant) -> list[tuple[str, ...]]:
        """What pytest is called with, one call after the other."""
        room = f"tests/unit/{self.path.relative_to(root / PACKAGE).parts[0]}"
        calls = [mutant.tests] if mutant.tests else []
        return [*calls, (room, "-m", "not slow")]


def mutants(path: Path) -> list[Mutant]:
    """The list. Errors: BadList."""
    with path.open("rb") as handle:
        entries = tomllib.load(handle)["mutant"]
    try:
        return [Mutant(**{**each, "tests": tuple(each.get("tests", ()))}) for each in entries]
    except TypeError as error:
        raise BadList(f"{path.name}: {error}") from None


def place_of(mutant: Mutant, root: Path) -> Place:
    """Where it is to be made. Errors: BadList, where that is not exactly one place."""
    pattern = re.compile(r"\s+".join(re.escape(word) for word in mutant.source.split()))
    found = [
        Place(path, start + match.start(), start + match.end())
        for path, start, text in _definitions(root).get(mutant.of, [])
        for match in pattern.finditer(text)
    ]
    if len(found) != 1:
        known = mutant.of in _definitions(root)
        where = f"has it {len(found)} times" if known else "is not defined"
        raise BadList(f"{mutant}: {mutant.of} {where} in {PACKAGE}; expected exactly once.")
    return found[0]


@cache
def _definitions(root: Path) -> dict[str, list[tuple[Path, int, str]]]:
    """Where each qualified name is defined: file, offset and text."""
    found: defaultdict[str, list[tuple[Path, int, str]]] = defaultdict(list)
    for path in sorted((root / PACKAGE).rglob("*.py")):
        text = path.read_text("utf-8")
        lines = text.splitlines(keepends=True)
        for name, node in _named(ast.parse(text), ""):
            start = sum(map(len, lines[: node.lineno - 1]))
            found[name].append((path, start, "".join(lines[node.lineno - 1 : node.end_lineno])))
    return found


def _named(parent: ast.AST, prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name, node
            yield from _named(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield prefix + node.targets[0].id, node


def outcome(listed: Sequence[Mutant]) -> str:
    """What the page says of a run in which all is as listed: the counts, and who survives."""
    left = [one for one in listed if one.survives]
    rows = [f"| `{one.of}` | `{one.source}` | {one.survives} |" for one in left]
    counts = f"{len(listed)} mutants, {len(listed) - len(left)} killed, {len(left)} survived."
    head = ["| changed | what of it | why nothing notices |", "|---|---|---|"]
    return "\n".join([counts, *(["", *head, *rows] if rows else [])])


def _note(listed: Sequence[Mutant], root: Path) -> None:
    ask = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(ask, cwd=root, check=True, capture_output=True, text=True).stdout
    before, _, rest = (root / PAGE).read_text("utf-8").partition(START)
    said = f"{START}\nThe last whole run, of commit {commit.strip()}: {outcome(listed)}\n{END}"
    (root / PAGE).write_text(f"{before}{said}{rest.partition(END)[2]}", "utf-8")


class Copy:
    """A copy of the tree, with an environment whose package is the copy's."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.running: subprocess.Popen[str] | None = None
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=root, check=True, capture_output=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if (root / name).is_symlink() or (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name, follow_symlinks=False)
        venv.create(folder / ".venv", symlinks=True)
        here, there = Path(sys.prefix), folder / ".venv"
        site = Path("lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
        first = f"{folder}\nimport site; site.addsitedir({str(here / site)!r})\n"
        (there / site / "copy.pth").write_text(first)
        script = Path("bin", "argus-tasks")
        shutil.copy2(here / script, there / script)
        text = (here / script).read_text().replace(str(here / "bin"), str(there / "bin"))
        (there / script).write_text(text)

    def fails(self, calls: Sequence[tuple[str, ...]], limit_s: float) -> str | None:
        """The test that fails, or that the time is over; None where all pass."""
        end = time.monotonic() + limit_s
        for call in calls:
            python = [str(self.folder / ".venv" / "bin" / "python"), "-m", "pytest", "-x", "-q"]
            # A test that fails for being late on a busy machine has noticed nothing.
            more = ["-n0", "-p", "no:cacheprovider", "--reruns=1", "-o", "timeout_func_only=true"]
            process = self.running = subprocess.Popen(
                [*python, *more, *call],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                said, _ = process.communicate(timeout=max(1.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                return f"the limit of {limit_s:.0f} s"
            finally:
                self.end()
            if process.returncode in (1, 2):
                failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
                return failed[1] if failed else said[-300:]
            if process.returncode != 0:
                raise BadList(f"{' '.join(call)}: pytest ended with {process.returncode}:\n{said}")
        return None

    def end(self) -> None:
        """Kill what runs here, and what a faulty keeper has left of it."""
        if self.running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()

    def noticed(self, mutant: Mutant, limit_s: float) -> str | None:
        """What notices the mutant; None where nothing does."""
        place = place_of(mutant, self.root)
        text = place.path.read_text("utf-8")
        there = self.folder / place.path.relative_to(self.root)
        there.write_text(text[: place.start] + mutant.becomes + text[place.end :], "utf-8")
        try:
            return self.fails(place.tests(self.root, mutant), limit_s)
        finally:
            there.write_text(text, "utf-8")


def main(words: Sequence[str] | None = None, *, root: Path = ROOT, listed: Path = LIST) -> int:
    """Make the mutants, or those whose text has one of the words. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="a part of a mutant's text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at once")
    parser.add_argument("--check", action="store_true", help="only whether each can be made")
    asked = parser.parse_args(words)
    chosen = [
        one
        for one in mutants(listed)
        if not asked.only or any(word in str(one) for word in asked.only)
    ]
    bad = []
    for mutant in chosen:
        try:
            place_of(mutant, root)
        except BadList as error:
            bad.append(str(error))
    print(*bad, f"{len(chosen)} mutants, {len(bad)} that cannot be made", sep="\n")
    if bad or asked.check:
        return 2 if bad else 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        try:
            copies = [Copy(root, Path(folder, str(at))) for at in range(asked.jobs)]
            wrong = _all(chosen, copies)
        except BadList as error:
            print(error)
            return 2
    if not wrong and not asked.only:
        _note(chosen, root)
    return wrong


def _all(chosen: Sequence[Mutant], copies: Sequence[Copy]) -> int:
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)
    root = copies[0].root
    took: dict[tuple[str, ...], float] = {}

    def without(call: tuple[str, ...]) -> None:
        copy, began = free.get(), time.monotonic()
        try:
            if failed := copy.fails([call], 1200):
                raise BadList(f"without any mutant, {' '.join(call)} fails: {failed}")
        finally:
            free.put(copy)
        took[call] = time.monotonic() - began

    def one(mutant: Mutant) -> bool:
        copy = free.get()
        try:
            calls = place_of(mutant, root).tests(root, mutant)
            by = copy.noticed(mutant, 60 + 3 * sum(took[call] for call in calls))
        finally:
            free.put(copy)
        if by and mutant.survives:
            print(f"killed by {by}, though the list has a reason why not: {mutant}", flush=True)
        elif by:
            print(f"killed    {mutant}  ({by})", flush=True)
        else:
            print(f"survived  {mutant}  ({mutant.survives or 'no reason given'})", flush=True)
        return bool(by) != bool(mutant.survives)

    with ThreadPoolExecutor(len(copies)) as threads:
        calls = {call: None for each in chosen for call in place_of(each, root).tests(root, each)}
        try:
            list(threads.map(without, calls))
            as_listed = list(threads.map(one, chosen))
        except BaseException:  # Ctrl-C, too
            threads.shutdown(wait=False, cancel_futures=True)
            for copy in copies:
                copy.end()
            raise
    wrong = as_listed.count(False)
    print(f"{len(chosen)} mutants, {wrong} of them not as {LIST.name} says")
    return 1 if wrong else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
