"""The ways in which the code of a number changes, and the right answer to each.

Each way is a function that makes a project, runs it, changes something, and returns what a later
start finds: the state and the files that it names. A later start that calls a run the same is held
to it: a fresh run must return the same number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from argus_tasks.provenance.comparison import CodeComparison, CodeState
from tests.unit.provenance.lab import Lab, Ran

WARM, FRESH, SCRIPT, SEQUENTIAL = "warm", "fresh", "script", "sequential"
PROCESSES = (WARM, FRESH, SCRIPT)
ALL = (*PROCESSES, SEQUENTIAL)


@dataclass(frozen=True)
class Found:
    """What a later start finds of an earlier run."""

    state: CodeState
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Way:
    """A way.

    Attributes:
        number: its row in the table.
        find: makes the project and the change.
        state: the right answer.
        files: the files that are to be named.
        modes: in which it says something.
        settings: of the lab.
    """

    number: str
    find: Callable[[Lab], Found]
    state: CodeState
    files: tuple[str, ...]
    modes: tuple[str, ...]
    settings: dict[str, object]


WAYS: list[Way] = []


def way(
    number: str,
    state: CodeState,
    *files: str,
    modes: tuple[str, ...] = ALL,
    **settings: object,
) -> Callable[[Callable[[Lab], Found]], Callable[[Lab], Found]]:
    """Register a way."""

    def register(find: Callable[[Lab], Found]) -> Callable[[Lab], Found]:
        WAYS.append(Way(number, find, state, files, modes, settings))
        return find

    return register


def found(lab: Lab, ran: Ran, **settings: object) -> Found:
    """What a later start finds, held to the number that a fresh run returns."""
    comparison: CodeComparison = lab.compare(ran, **settings)
    if comparison.state <= CodeState.COSMETIC:
        again = lab.run(**_config_of(ran))
        assert again.result == ran.result, "called the same, and it is another number"
    return Found(comparison.state, comparison.files, comparison.notes)


def _config_of(ran: Ran) -> dict[str, object]:
    result = ran.result
    return dict(result["config"]) if isinstance(result, dict) and "config" in result else {}


def plain(lab: Lab, body: str = "return helper() + SCALE") -> None:
    lab.write(
        "train.py",
        f"SCALE = 10\n\ndef helper():\n    return 1\n\ndef run(config):\n    {body}\n",
    )


@way("1", CodeState.CHANGED, "train.py")
def helper_in_the_same_file(lab: Lab) -> Found:
    plain(lab)
    ran = lab.run()
    lab.edit("train.py", "return 1", "return 2")
    return found(lab, ran)


@way("2", CodeState.CHANGED, "train.py")
def constant(lab: Lab) -> Found:
    plain(lab)
    ran = lab.run()
    lab.edit("train.py", "SCALE = 10", "SCALE = 11")
    return found(lab, ran)


@way("3", CodeState.CHANGED, "pkg/inner/losses.py")
def module_two_levels_down(lab: Lab) -> Found:
    nested(lab)
    ran = lab.run()
    lab.edit("pkg/inner/losses.py", "return 1", "return 2")
    return found(lab, ran)


def nested(lab: Lab) -> None:
    lab.write("pkg/__init__.py", "")
    lab.write("pkg/inner/__init__.py", "from pkg.inner import losses\n")
    lab.write("pkg/inner/losses.py", "def loss():\n    return 1\n")
    lab.write(
        "train.py", "from pkg.inner import losses\n\ndef run(config):\n    return losses.loss()\n"
    )


LAZY = """
def run(config):
    value = 0
    if config.get("lazy"):
        import lazy
        value = lazy.VALUE
    return {"value": value, "config": config}
"""


@way("4 loaded it", CodeState.CHANGED, "lazy.py", modes=PROCESSES)
def lazy_import_of_a_run(lab: Lab) -> Found:
    lab.write("train.py", LAZY)
    lab.write("lazy.py", "VALUE = 1\n")
    worker = lab.worker()
    worker.run()
    ran = worker.run(lazy=True)
    lab.edit("lazy.py", "1", "2")
    assert ran is not None
    return found(lab, ran)


@way("4 before it", CodeState.SAME, modes=PROCESSES)
def lazy_import_of_a_later_run(lab: Lab) -> Found:
    lab.write("train.py", LAZY)
    lab.write("lazy.py", "VALUE = 1\n")
    worker = lab.worker()
    ran = worker.run()
    worker.run(lazy=True)
    lab.edit("lazy.py", "1", "2")
    assert ran is not None
    return found(lab, ran)


def after_lazy(lab: Lab) -> Found:
    lab.write("train.py", LAZY)
    lab.write("lazy.py", "VALUE = 1\n")
    worker = lab.worker()
    worker.run(lazy=True)
    ran = worker.run()
    lab.edit("lazy.py", "1", "2")
    assert ran is not None
    return found(lab, ran)


@way("4 after it, warm", CodeState.UNSURE, "lazy.py", modes=(WARM,))
def lazy_import_of_an_earlier_run(lab: Lab) -> Found:
    return after_lazy(lab)


@way("4 after it, fresh", CodeState.SAME, modes=(FRESH, SCRIPT))
def lazy_import_of_an_earlier_run_elsewhere(lab: Lab) -> Found:
    return after_lazy(lab)


@way("7", CodeState.CHANGED, "train.py")
def dataclass_default(lab: Lab) -> Found:
    lab.write(
        "train.py",
        "from dataclasses import dataclass\n\n@dataclass\nclass Config:\n    lr: float = 0.1\n\n"
        "def run(config):\n    return Config(**config).lr\n",
    )
    ran = lab.run()
    lab.edit("train.py", "0.1", "0.2")
    return found(lab, ran)


HYDRA = """
from pathlib import Path
from hydra import compose, initialize_config_dir

def run(config):
    with initialize_config_dir(str(Path(__file__).parent / "conf"), version_base=None):
        return dict(compose("config").model)["size"]
"""


def hydra(lab: Lab) -> Ran:
    lab.write("train.py", HYDRA)
    lab.write("conf/config.yaml", "defaults:\n  - model: small\n  - _self_\n")
    lab.write("conf/model/small.yaml", "size: 1\n")
    lab.write("conf/model/large.yaml", "size: 2\n")
    return lab.run()


@way("8 used", CodeState.CHANGED, "conf/model/small.yaml", modes=PROCESSES)
def hydra_file_that_is_used(lab: Lab) -> Found:
    ran = hydra(lab)
    lab.edit("conf/model/small.yaml", "1", "3")
    return found(lab, ran)


@way("8 unused", CodeState.SAME, modes=PROCESSES)
def hydra_group_that_is_not_used(lab: Lab) -> Found:
    ran = hydra(lab)
    lab.edit("conf/model/large.yaml", "2", "3")
    return found(lab, ran)


@way("9", CodeState.CHANGED, "helper.py")
def helper_module(lab: Lab) -> Found:
    lab.write("train.py", "import helper\n\ndef run(config):\n    return helper.VALUE\n")
    lab.write("helper.py", "VALUE = 1\n")
    ran = lab.run()
    lab.edit("helper.py", "1", "2")
    return found(lab, ran)


@way("10", CodeState.SAME)
def readme(lab: Lab) -> Found:
    plain(lab)
    lab.write("README.md", "one\n")
    ran = lab.run()
    lab.edit("README.md", "one", "two")
    return found(lab, ran)


@way("11", CodeState.SAME)
def sweep_file(lab: Lab) -> Found:
    plain(lab)
    lab.write("sweep.yaml", "grid: {lr: [1]}\n")
    ran = lab.run()
    lab.edit("sweep.yaml", "[1]", "[1, 2]")
    return found(lab, ran)


@way("12 unrelated", CodeState.SAME)
def comment_in_an_unrelated_module(lab: Lab) -> Found:
    plain(lab)
    lab.write("other.py", "VALUE = 1\n")
    ran = lab.run()
    lab.edit("other.py", "VALUE", "# why\nVALUE")
    return found(lab, ran)


@way("12 loaded", CodeState.COSMETIC, "train.py")
def comment_in_a_loaded_module(lab: Lab) -> Found:
    plain(lab)
    ran = lab.run()
    lab.edit("train.py", "SCALE = 10", "# why\nSCALE = 10  # so")
    return found(lab, ran)


@way("12 docstring", CodeState.CHANGED, "train.py")
def docstring(lab: Lab) -> Found:
    plain(lab, '"""One."""\n    return run.__doc__')
    ran = lab.run()
    lab.edit("train.py", "One", "Two")
    return found(lab, ran)


@way("13 folder", CodeState.SAME)
def folder_renamed(lab: Lab) -> Found:
    lab.below = "old"
    lab.write("old/train.py", "import helper\n\ndef run(config):\n    return helper.VALUE\n")
    lab.write("old/helper.py", "VALUE = 1\n")
    ran = lab.run()
    (lab.home / "old").rename(lab.home / "new")
    lab.below = "new"
    assert ran.mark.match(lab.mark()) == "renamed"
    return found(lab, ran)


@way("13 file", CodeState.SAME)
def entry_file_renamed(lab: Lab) -> Found:
    plain(lab)
    ran = lab.run()
    (lab.home / "train.py").rename(lab.home / "fit.py")
    lab.entry = "fit"
    assert ran.mark.match(lab.mark()) == "renamed"
    return found(lab, ran)


@way("14", CodeState.SAME)
def project_moved(lab: Lab) -> Found:
    nested(lab)
    ran = lab.run()
    lab.home = lab.home.rename(lab.place / "elsewhere")
    assert ran.mark.match(lab.mark()) == "same"
    return found(lab, ran)


@way("15", CodeState.SAME)
def rewritten_with_equal_content(lab: Lab) -> Found:
    plain(lab)
    ran = lab.run()
    path = lab.home / "train.py"
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text)
    return found(lab, ran)


@way("16 loaded", CodeState.CHANGED, "helper.py")
def untracked_file_that_is_loaded(lab: Lab) -> Found:
    (lab.home / ".gitignore").write_text("helper.py\n")
    return helper_module(lab)


@way("16 unrelated", CodeState.SAME)
def untracked_file_that_is_not(lab: Lab) -> Found:
    plain(lab)
    ran = lab.run()
    lab.write("scratch.py", "VALUE = 1\n")
    lab.write("json/notes.txt", "no module\n")
    return found(lab, ran)


COLORS = "import colorsys\n\ndef run(config):\n    return colorsys.rgb_to_hsv(1, 0, 0)[1]\n"


@way("16 hiding", CodeState.CHANGED, "colorsys.py", modes=PROCESSES)
def untracked_file_that_hides_one(lab: Lab) -> Found:
    lab.write("train.py", COLORS)
    ran = lab.run()
    lab.write("colorsys.py", "def rgb_to_hsv(*_):\n    return (0, 7, 0)\n")
    return found(lab, ran)


@way("17", CodeState.SAME)
def other_python(lab: Lab) -> Found:
    plain(lab)
    ran = lab.run()
    there = found(lab, ran, python="3.99.0")
    assert there.notes
    assert "3.99.0" in there.notes[-1]
    return there


def with_package(lab: Lab) -> Ran:
    site = lab.place / "site-packages"
    for name in ("sizes", "colors"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("VALUE = 1\n")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{name}/__init__.py,,\n")
    lab.extra_environment["PYTHONPATH"] = str(site)
    lab.write("train.py", "import sizes\n\ndef run(config):\n    return sizes.VALUE\n")
    ran = lab.run()
    manifest = lab.store.manifest(ran.manifest or "")
    assert manifest is not None
    assert manifest.packages.get("sizes") == "1.0"
    assert "colors" not in manifest.packages
    return ran


@way("18 imported", CodeState.SAME, modes=PROCESSES)
def version_of_an_imported_package(lab: Lab) -> Found:
    from argus_tasks.provenance.comparison import Present

    there = found(lab, with_package(lab), present=Present(packages={"sizes": "1.1"}))
    assert there.notes == ("sizes was 1.0, and is 1.1",)
    return there


@way("18 another", CodeState.SAME, modes=PROCESSES)
def version_of_another_package(lab: Lab) -> Found:
    from argus_tasks.provenance.comparison import Present

    present = Present(packages={"sizes": "1.0", "colors": "9"})
    there = found(lab, with_package(lab), present=present)
    assert there.notes == ()
    return there


@way("19", CodeState.SAME)
def edited_and_reverted(lab: Lab) -> Found:
    from argus_tasks.provenance.comparison import best

    plain(lab)
    first = lab.run()
    lab.edit("train.py", "SCALE = 10", "SCALE = 20")
    assert found(lab, first).state is CodeState.CHANGED
    second = lab.run()
    path = lab.edit("train.py", "SCALE = 20", "SCALE = 10")
    os.utime(path, (1, 1))  # another time than before: without hooks, Python sees no more
    chosen = best([(lab.compare(first), "1"), (lab.compare(second), "2")])
    assert chosen is not None
    assert chosen[1] == "1"
    assert lab.compare(second).state is CodeState.CHANGED
    return found(lab, first)


MIDWAY = """
import early

def run(config):
    import late
    return {"used": [early.VALUE, late.VALUE]}
"""


def midway(lab: Lab) -> Ran:
    """Two runs of one worker, everything edited between them: the second run."""
    lab.write("train.py", MIDWAY)
    lab.write("early.py", "VALUE = 1\n")
    lab.write("late.py", "VALUE = 1\n")
    worker = lab.worker()
    assert worker.run() is not None
    lab.edit("early.py", "1", "2")
    lab.edit("late.py", "1", "2")
    ran = worker.run() or lab.run()
    assert ran.result["used"] in ([1, 1], [2, 2]), "two codes in one run"
    return ran


@way("20", CodeState.CHANGED, "early.py", "late.py", modes=(WARM,))
def edited_in_mid_sweep_warm(lab: Lab) -> Found:
    ran = midway(lab)
    assert ran.result["used"] == [1, 1]
    return found(lab, ran)


@way("21, 22", CodeState.SAME, modes=(FRESH, SCRIPT))
def edited_in_mid_sweep_fresh(lab: Lab) -> Found:
    ran = midway(lab)
    assert ran.result["used"] == [2, 2]
    return found(lab, ran)


@way("23", CodeState.CHANGED, "helper.py", git=False)
def without_git(lab: Lab) -> Found:
    return helper_module(lab)


@way("24", CodeState.SAME, modes=PROCESSES)
def results_in_git(lab: Lab) -> Found:
    lab.results = lab.home / "results"
    lab.write("results/best.json", "1")
    lab.write("train.py", "def run(config):\n    open('results/best.json').read()\n    return 1\n")
    ran = lab.run()
    lab.edit("results/best.json", "1", "2")
    return found(lab, ran)


@way("25", CodeState.CHANGED, "helper.py")
def equal_size_within_a_second(lab: Lab) -> Found:
    lab.write("train.py", "import helper\n\ndef run(config):\n    return helper.VALUE\n")
    path = lab.write("helper.py", "VALUE = 1\n")
    whole = time.time() // 1
    os.utime(path, (whole, whole))
    ran = lab.run()
    lab.edit("helper.py", "1", "2")
    os.utime(path, (whole + 0.5, whole + 0.5))
    if lab.mode not in (SEQUENTIAL, "thread"):  # there, nobody minds which `.pyc` Python takes
        assert lab.run().result == 2, "a stale .pyc was run"
    return found(lab, ran)


@way("26", CodeState.CHANGED, "helper.py")
def time_put_back(lab: Lab) -> Found:
    lab.write("train.py", "import helper\n\ndef run(config):\n    return helper.VALUE\n")
    path = lab.write("helper.py", "VALUE = 1\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    ran = lab.run()
    lab.edit("helper.py", "1", "2")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    if lab.mode not in (SEQUENTIAL, "thread"):
        assert lab.run().result == 2, "a stale .pyc was run"
    return found(lab, ran)


@way("27", CodeState.CHANGED, "losses/__init__.py")
def package_that_hides_a_module(lab: Lab) -> Found:
    lab.write("train.py", "import losses\n\ndef run(config):\n    return losses.VALUE\n")
    lab.write("losses.py", "VALUE = 1\n")
    ran = lab.run()
    lab.write("losses/__init__.py", "VALUE = 2\n")
    assert lab.run().result == 2
    return found(lab, ran)


@way("27 bare", CodeState.CHANGED, "losses/__init__.py", modes=PROCESSES)
def bare_package_that_gets_an_init(lab: Lab) -> Found:
    lab.write("train.py", "from losses import one\n\ndef run(config):\n    return one.VALUE\n")
    lab.write("losses/one.py", "VALUE = 1\n")
    ran = lab.run()
    lab.write("losses/__init__.py", "from losses import one\none.VALUE = 2\n")
    assert lab.run().result == 2
    return found(lab, ran)


@way("27 before it", CodeState.CHANGED, "first/losses.py", modes=PROCESSES)
def module_in_an_earlier_folder(lab: Lab) -> Found:
    lab.write("first/other.py", "")
    lab.write("second/losses.py", "VALUE = 1\n")
    lab.extra_environment["PYTHONPATH"] = f"{lab.home}/first:{lab.home}/second"
    lab.write("train.py", "import losses\n\ndef run(config):\n    return losses.VALUE\n")
    ran = lab.run()
    lab.write("third/losses.py", "VALUE = 3\n")
    assert found(lab, ran).state is CodeState.SAME
    lab.write("first/losses.py", "VALUE = 2\n")
    assert lab.run().result == 2
    return found(lab, ran)


OPTIONAL = """
try:
    from {0} import VALUE
except ImportError:
    VALUE = 1

def run(config):
    return VALUE
"""


@way("28 top", CodeState.CHANGED, "local_settings.py", modes=PROCESSES)
def optional_import_that_appears(lab: Lab) -> Found:
    lab.write("train.py", OPTIONAL.format("local_settings"))
    ran = lab.run()
    lab.write("local_settings.py", "VALUE = 2\n")
    return found(lab, ran)


@way("28 in a package", CodeState.CHANGED, "pkg/local.py", modes=PROCESSES)
def optional_submodule_that_appears(lab: Lab) -> Found:
    lab.write("pkg/__init__.py", "")
    lab.write("train.py", OPTIONAL.format("pkg.local"))
    ran = lab.run()
    lab.write("pkg/local.py", "VALUE = 2\n")
    return found(lab, ran)


@way("28 a folder", CodeState.CHANGED, "extras/settings.py", modes=PROCESSES)
def optional_import_that_a_bare_folder_fills(lab: Lab) -> Found:
    lab.write("train.py", OPTIONAL.format("extras.settings"))
    ran = lab.run()
    lab.write("extras/settings.py", "VALUE = 2\n")
    there = found(lab, ran)
    return Found(there.state, ("extras/settings.py",) if there.files else ())


CHILDREN = """
import multiprocessing

import target

def run(config):
    with multiprocessing.get_context("{0}").Pool(1) as pool:
        return pool.apply(target.work)
"""


def children(lab: Lab, how: str) -> Found:
    lab.write("train.py", CHILDREN.format(how))
    lab.write("target.py", "def work():\n    import inner\n    return inner.VALUE\n")
    lab.write("inner.py", "VALUE = 1\n")
    ran = lab.run()
    assert ran.result == 1
    assert_recorded(lab, ran)
    lab.edit("inner.py", "1", "2")
    return found(lab, ran)


def assert_recorded(lab: Lab, ran: Ran) -> None:
    """The child told itself what it loaded; its imports were not merely read."""
    manifest = lab.store.manifest(ran.manifest or "")
    assert manifest is not None
    assert "inner.py" in [file.name for file in manifest.files if not file.bounded]


@way("29 forked", CodeState.CHANGED, "inner.py", modes=PROCESSES)
def forked_child(lab: Lab) -> Found:
    return children(lab, "fork")


@way("29 spawned", CodeState.CHANGED, "inner.py", modes=PROCESSES)
def spawned_child(lab: Lab) -> Found:
    return children(lab, "spawn")


@way("29 fork server", CodeState.CHANGED, "inner.py", modes=PROCESSES)
def child_of_a_fork_server(lab: Lab) -> Found:
    return children(lab, "forkserver")


@way("29 subprocess", CodeState.CHANGED, "inner.py", modes=PROCESSES)
def python_child(lab: Lab) -> Found:
    lab.write(
        "train.py",
        "import subprocess, sys\n\ndef run(config):\n"
        "    done = subprocess.run([sys.executable, 'child.py'], capture_output=True, text=True)\n"
        "    return done.stdout\n",
    )
    lab.write("child.py", "import inner\nprint(inner.VALUE)\n")
    lab.write("inner.py", "VALUE = 1\n")
    ran = lab.run()
    assert ran.result == "1\n"
    assert_recorded(lab, ran)
    lab.edit("inner.py", "1", "2")
    return found(lab, ran)


@way("29 isolated", CodeState.CHANGED, "inner.py", modes=PROCESSES)
def python_child_that_takes_no_hooks(lab: Lab) -> Found:
    python_child(lab)
    lab.edit("train.py", "sys.executable, 'child.py'", "sys.executable, '-E', 'child.py'")
    ran = lab.run()
    manifest = lab.store.manifest(ran.manifest or "")
    assert manifest is not None
    assert [file.name for file in manifest.files if file.bounded] == ["child.py", "inner.py"]
    assert manifest.notes
    lab.edit("inner.py", "2", "3")
    return found(lab, ran)


@way("30", CodeState.CHANGED, "@sibling/shapes/__init__.py")
def editable_sibling(lab: Lab) -> Found:
    sibling = lab.place / "sibling"
    (sibling / "shapes").mkdir(parents=True)
    (sibling / ".git").mkdir()
    (sibling / "shapes" / "__init__.py").write_text("VALUE = 1\n")
    lab.extra_environment["PYTHONPATH"] = str(sibling)
    lab.write("train.py", "import shapes\n\ndef run(config):\n    return shapes.VALUE\n")
    ran = lab.run()
    assert lab.compare(ran).state is CodeState.SAME
    (sibling / "shapes" / "__init__.py").write_text("VALUE = 2\n")
    return found(lab, ran)


@way("31", CodeState.CHANGED, "configurator.py", modes=PROCESSES)
def executed_text(lab: Lab) -> Found:
    lab.write(
        "train.py",
        "def run(config):\n    names = {}\n"
        "    exec(open('configurator.py').read(), names)\n    return names['VALUE']\n",
    )
    lab.write("configurator.py", "VALUE = 1\n")
    ran = lab.run()
    lab.edit("configurator.py", "1", "2")
    return found(lab, ran)


@way("31 runpy", CodeState.CHANGED, "configurator.py", modes=PROCESSES)
def executed_by_runpy(lab: Lab) -> Found:
    lab.write(
        "train.py",
        "import runpy\n\ndef run(config):\n    return runpy.run_path('configurator.py')['VALUE']\n",
    )
    lab.write("configurator.py", "VALUE = 1\n")
    ran = lab.run()
    lab.edit("configurator.py", "1", "2")
    return found(lab, ran)


@way("32", CodeState.COSMETIC, "helper.py")
def line_ends(lab: Lab) -> Found:
    lab.write("train.py", "import helper\n\ndef run(config):\n    return helper.VALUE\n")
    path = lab.write("helper.py", "VALUE = 1\n")
    ran = lab.run()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    return found(lab, ran)


@way("34", CodeState.SAME)
def two_projects_of_one_root(lab: Lab) -> Found:
    plain(lab)
    ran = lab.run()
    other = type(lab)(_made(lab.place / "other"), mode=lab.mode, git=lab.git)
    plain(other, "return 7")
    assert ran.mark.identity == other.mark().identity
    assert ran.mark.match(other.mark()) == "other"
    return found(lab, ran)


def _made(folder: os.PathLike[str]) -> object:
    os.makedirs(folder)  # noqa: PTH103
    return folder


@way("35", CodeState.CHANGED, "train.py")
def claim_handed_over_by_other_code(lab: Lab) -> Found:
    plain(lab)
    worker = lab.worker()
    ran = worker.run()
    assert ran is not None
    lab.edit("train.py", "SCALE = 10", "SCALE = 11")
    # What a run has loaded is known when it begins: whoever waits for it can tell already.
    return found(
        lab, Ran(ran.result, ran.begun if lab.mode != SCRIPT else ran.manifest, None, ran.mark)
    )


@way("36 accepted", CodeState.ACCEPTED, "train.py")
def accepted_change(lab: Lab) -> Found:
    plain(lab)
    ran = lab.run()
    lab.edit("train.py", "SCALE = 10", "SCALE = 5 + 5")
    change = lab.compare(ran).differences[0]
    lab.accepted.add(change.name, change.before, change.after, because="the same sum")
    return found(lab, ran)


@way("36 a third", CodeState.CHANGED, "train.py")
def third_content(lab: Lab) -> Found:
    accepted_change(lab)
    ran = lab.run()
    lab.edit("train.py", "SCALE = 5 + 5", "SCALE = 10")
    change = lab.compare(ran).differences[0]
    lab.accepted.add(change.name, change.before, change.after, because="the same sum")
    lab.edit("train.py", "SCALE = 10", "SCALE = 12")
    return found(lab, ran)


@way("37", CodeState.CHANGED, "train.py")
def secret_in_the_source(lab: Lab) -> Found:
    plain(lab)
    lab.edit("train.py", "SCALE = 10", 'API_KEY = "abcdefgh"\nSCALE = 10')
    ran = lab.run()
    manifest = lab.store.manifest(ran.manifest or "")
    assert manifest is not None
    for file in manifest.files:
        assert lab.store.source(file.digest) is None
    lab.edit("train.py", "SCALE = 10", "# a comment\nSCALE = 10")
    return found(lab, ran)


@way("38", CodeState.SAME, git=False)
def git_init_one_level_up(lab: Lab) -> Found:
    lab.below = "study"
    lab.write("study/train.py", "import helper\n\ndef run(config):\n    return helper.VALUE\n")
    lab.write("study/helper.py", "VALUE = 1\n")
    ran = lab.run()
    assert ran.mark.entry == "train.py"
    (lab.home / ".git").mkdir()
    assert lab.mark().entry == "study/train.py"
    assert ran.mark.match(lab.mark()) == "renamed"
    return found(lab, ran)


@way("38 edited", CodeState.CHANGED, "study/helper.py", git=False)
def git_init_one_level_up_and_an_edit(lab: Lab) -> Found:
    lab.below = "study"
    lab.write("study/train.py", "import helper\n\ndef run(config):\n    return helper.VALUE\n")
    lab.write("study/helper.py", "VALUE = 1\n")
    ran = lab.run()
    (lab.home / ".git").mkdir()
    lab.edit("study/helper.py", "1", "2")
    return found(lab, ran)
