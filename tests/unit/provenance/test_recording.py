"""What a process records of itself and its children, in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from argus_tasks.provenance.comparison import CodeState
from argus_tasks.provenance.manifest import CodeFile, Manifest
from argus_tasks.provenance.recording.record_journal import INJECT
from tests.unit.provenance.conftest import NewLab
from tests.unit.provenance.lab import Lab, Ran, wait_past_the_grain


def files_of(lab: Lab, ran: Ran) -> dict[str, CodeFile]:
    return {file.name: file for file in manifest_of(lab, ran).files}


def manifest_of(lab: Lab, ran: Ran) -> Manifest:
    manifest = lab.store.manifest(ran.manifest or "")
    assert manifest is not None
    return manifest


def test_a_module_reloaded_has_both_contents_and_later_runs_the_later_one(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import importlib, pathlib\nimport helper\n\ndef run(config):\n"
        "    if config.get('reload'):\n"
        "        pathlib.Path('helper.py').write_text('VALUE = 2  # longer')\n"
        "        importlib.reload(helper)\n"
        "    return helper.VALUE\n",
    )
    lab.write("helper.py", "VALUE = 1\n")
    worker = lab.worker()
    both, later = worker.run(reload=True), worker.run()
    assert both is not None
    assert later is not None
    assert (both.result, later.result) == (2, 2)
    assert [file.name for file in manifest_of(lab, both).files].count("helper.py") == 2
    assert [file.name for file in manifest_of(lab, later).files].count("helper.py") == 1
    assert lab.compare(both).state is CodeState.CHANGED
    assert lab.compare(later).state <= CodeState.UNSURE  # reloaded by an earlier run


FOREIGN = """
import importlib.util, sys

class Loader:
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        # As a loader with a cache of its own: nobody sees it open a file.
        exec(compile("VALUE = 1", "{0}", "exec"), module.__dict__)

def run(config):
    spec = importlib.util.spec_from_loader("foreign", Loader())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.VALUE
"""


def test_a_foreign_loaders_file_is_unsure_only_where_it_was_edited_since(new_lab: NewLab) -> None:
    lab = new_lab()
    path = lab.write("foreign.py", "VALUE = 1\n")
    lab.write("train.py", FOREIGN.format(path))
    ran = lab.run()
    assert not files_of(lab, ran)["foreign.py"].unsure
    assert lab.compare(ran).state is CodeState.SAME
    worker = lab.worker()
    lab.write("foreign.py", "VALUE = 1\n# edited\n")
    edited = worker.run()
    assert edited is not None
    assert files_of(lab, edited)["foreign.py"].unsure
    assert lab.compare(edited).state is CodeState.UNSURE


def test_what_is_loaded_before_the_hooks_is_unsure_where_it_was_edited_since(
    tmp_path: Path,
) -> None:
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import old
if sys.argv[2] == "edit":
    open(sys.argv[1] + "/old.py", "a").write("# edited")
from argus_tasks.provenance.recording.import_hooks import install
from argus_tasks.provenance.recording.scope import CodeScope
recorder = install(CodeScope(sys.argv[1]))
print(recorder.files[sys.argv[1] + "/old.py"].unsure)
"""
    (tmp_path / "old.py").write_text("VALUE = 1\n")
    os.utime(tmp_path / "old.py", (1, 1))
    wait_past_the_grain(tmp_path / "old.py")
    words = [sys.executable, "-c", program, str(tmp_path)]
    left = subprocess.run([*words, "leave"], capture_output=True, text=True, check=True)
    assert left.stdout == "False\n"
    edited = subprocess.run([*words, "edit"], capture_output=True, text=True, check=True)
    assert edited.stdout == "True\n"


def test_without_hooks_a_stale_pyc_that_python_takes_makes_unsure(new_lab: NewLab) -> None:
    lab = new_lab(mode="sequential")
    lab.write("train.py", "import helper\n\ndef run(config):\n    return helper.VALUE\n")
    path = lab.write("helper.py", "VALUE = 1\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert not files_of(lab, lab.run())["helper.py"].unsure
    path.write_bytes(path.read_bytes())
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert not files_of(lab, lab.run())["helper.py"].unsure  # younger, and of this text
    lab.edit("helper.py", "1", "2")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    ran = lab.run()
    assert ran.result == 1, "Python has looked closer than it does"
    assert files_of(lab, ran)["helper.py"].unsure
    assert lab.compare(ran).state is CodeState.UNSURE


def test_a_traceback_of_an_edited_module_does_not_count_as_its_use(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import traceback, warnings\nimport helper\n\ndef run(config):\n"
        "    try:\n        helper.fails()\n    except ValueError:\n"
        "        traceback.format_exc()\n    helper.warns()\n    return 1\n",
    )
    lab.write(
        "helper.py",
        "import warnings\n\ndef fails():\n    raise ValueError\n\n"
        "def warns():\n    warnings.warn('so', stacklevel=1)\n",
    )
    worker = lab.worker()
    lab.edit("helper.py", "raise ValueError", "raise  ValueError")
    ran = worker.run()
    assert ran is not None
    assert [file.name for file in manifest_of(lab, ran).files].count("helper.py") == 1


def test_a_source_read_as_a_text_counts_beside_what_is_executed(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import inspect\nimport helper\n\ndef run(config):\n"
        "    return inspect.getsource(helper.value)\n",
    )
    lab.write("helper.py", "def value():\n    return 1\n")
    worker = lab.worker()
    lab.edit("helper.py", "1", "2")
    ran = worker.run()
    assert ran is not None
    assert "2" in ran.result
    assert [file.name for file in manifest_of(lab, ran).files].count("helper.py") == 2


def test_a_module_in_an_archive_is_known_by_the_archive(new_lab: NewLab) -> None:
    lab = new_lab()
    archive = lab.home / "shapes.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("shapes.py", "VALUE = 1\n")
    lab.write(
        "train.py",
        f"import sys\nsys.path.insert(0, {str(archive)!r})\nimport shapes\n\n"
        "def run(config):\n    return shapes.VALUE\n",
    )
    ran = lab.run()
    assert files_of(lab, ran)["shapes.zip"].kind == "binary"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("shapes.py", "VALUE = 2\n")
    assert lab.compare(ran).files == ("shapes.zip",)


def test_an_extension_module_is_known_by_its_content(new_lab: NewLab) -> None:
    import importlib.util
    import shutil

    spec = importlib.util.find_spec("_queue") or importlib.util.find_spec("_bisect")
    assert spec is not None
    assert spec.origin is not None
    lab = new_lab()
    shutil.copy(spec.origin, lab.home / Path(spec.origin).name)
    lab.write(
        "train.py",
        "import sys\nfrom importlib.machinery import ExtensionFileLoader\n"
        "from importlib.util import module_from_spec, spec_from_file_location\n\n"
        "def run(config):\n"
        f"    spec = spec_from_file_location('{spec.name}', '{Path(spec.origin).name}')\n"
        "    spec.loader.exec_module(module_from_spec(spec))\n    return 1\n",
    )
    ran = lab.run()
    assert files_of(lab, ran)[Path(spec.origin).name].kind == "binary"


@pytest.mark.parametrize("how", ["closed", "reused"])
def test_a_fork_that_closes_what_it_inherits_still_tells(how: str, new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import os\n\ndef run(config):\n    pid = os.fork()\n    if pid == 0:\n"
        "        os.closerange(3, 256)\n"
        f"        for _ in range({200 * (how == 'reused')}):\n"
        "            os.open('mine.bin', os.O_RDWR)\n"
        "        import inner\n        os._exit(0)\n    os.waitpid(pid, 0)\n    return 1\n",
    )
    lab.write("inner.py", "VALUE = 1\n")
    lab.write("mine.bin", "mine")
    ran = lab.run()
    assert "inner.py" in files_of(lab, ran)
    assert (lab.home / "mine.bin").read_text() == "mine"


def test_a_grandchild_tells_too(new_lab: NewLab) -> None:
    lab = new_lab()
    call = "import subprocess, sys\nsubprocess.run([sys.executable, '{0}.py'], check=True)\n"
    lab.write("train.py", "def run(config):\n    exec(CALL)\n\nCALL = " + repr(call.format("a")))
    lab.write("a.py", call.format("b"))
    lab.write("b.py", "import c\n")
    lab.write("c.py", "VALUE = 1\n")
    assert {"a.py", "b.py", "c.py"} <= files_of(lab, lab.run()).keys()


@pytest.mark.parametrize(
    "environment",
    ["env={'PATH': '/bin'}", "env={**os.environ, 'PYTHONPATH': '', 'ARGUS_TASKS_CODE': ''}"],
)
def test_a_python_child_of_another_environment_is_followed_by_its_imports(
    environment: str, new_lab: NewLab
) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import os, subprocess, sys\n\ndef run(config):\n"
        f"    subprocess.run([sys.executable, 'a.py'], check=True, {environment})\n",
    )
    lab.write("a.py", "import c\n")
    lab.write("c.py", "VALUE = 1\n")
    ran = lab.run()
    assert files_of(lab, ran)["c.py"].bounded
    assert manifest_of(lab, ran).notes


def test_a_child_that_is_not_followed_is_its_own_runs_matter(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import subprocess, sys\n\ndef run(config):\n    if config:\n"
        "        subprocess.run([sys.executable, '-E', 'a.py'], check=True)\n",
    )
    lab.write("a.py", "")
    worker = lab.worker()
    bounded, plain = worker.run(child=1), worker.run()
    assert bounded is not None
    assert plain is not None
    assert "a.py" in files_of(lab, bounded)
    assert "a.py" not in files_of(lab, plain)
    assert not manifest_of(lab, plain).notes


def test_spawned_children_without_hooks_are_followed_by_their_imports(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import multiprocessing, os, target\n\ndef run(config):\n"
        "    os.environ['PYTHONPATH'] = os.getcwd()\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        return pool.apply(target.work)\n",
    )
    lab.write("target.py", "def work():\n    import inner\n    return inner.VALUE\n")
    lab.write("inner.py", "VALUE = 1\n")
    ran = lab.run()
    assert files_of(lab, ran)["inner.py"].bounded
    lab.edit("inner.py", "1", "2")
    assert lab.compare(ran).files == ("inner.py",)


def test_a_python_child_finds_the_same_modules_and_path_as_without(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys\nsys.customized = True\n")
    (tmp_path / "child.py").write_text(
        "import sys\nprint([sorted(sys.modules), sys.path, sys.customized,"
        " sys.modules['sitecustomize'].__file__])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    words = [sys.executable, str(tmp_path / "child.py")]
    plain = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    program = (
        "import subprocess, sys\n"
        "from argus_tasks.provenance.recording.import_hooks import install, tell_children\n"
        "from argus_tasks.provenance.recording.scope import CodeScope\n"
        f"recorder = install(CodeScope({str(tmp_path)!r}))\n"
        "tell_children(recorder)\n"
        f"subprocess.run({words!r}, check=True)\n"
        "recorder.catch_up()\n"
        f"assert {words[1]!r} in recorder.files\n"
    )
    recorded = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    allowed = {"_hashlib", "itertools", "_thread"}
    before, after = (eval(done.stdout) for done in (plain, recorded))
    assert after[1:] == before[1:]
    assert set(before[0]) <= set(after[0])
    assert set(after[0]) - set(before[0]) <= allowed
    assert INJECT not in after[1]


def test_a_config_that_a_run_wrote_itself_is_no_code(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import json\n\ndef run(config):\n    json.dump(config, open('state.json', 'w'))\n"
        "    return json.load(open('state.json'))\n",
    )
    ran = lab.run(lr=1)
    assert "state.json" not in files_of(lab, ran)
    assert manifest_of(lab, ran).wrote == ("state.json",)
    lab.write("state.json", "{}")
    assert lab.compare(ran).state is CodeState.SAME


def test_a_config_that_a_run_puts_in_its_place_is_no_code(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import json, os, shutil, tempfile\n\ndef run(config):\n"
        "    handle, name = tempfile.mkstemp(dir='.')\n    os.write(handle, b'1')\n"
        "    os.replace(name, 'state.json')\n    os.link('state.json', 'link.json')\n"
        "    os.mkdir('new')\n    json.dump(1, open('new/conf.json', 'w'))\n"
        "    shutil.move('new', 'now')\n"
        "    return [json.load(open(n)) for n in ('state.json', 'link.json', 'now/conf.json')]\n",
    )
    assert files_of(lab, lab.run()).keys() == {"train.py"}


def test_of_many_config_files_the_first_count_and_it_is_said(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "def run(config):\n    for at in range(210):\n        open(f'conf/{at}.json').read()\n",
    )
    for at in range(210):
        lab.write(f"conf/{at}.json", str(at))
    lab.write("conf/0.json", "0" * 1_000_001)
    manifest = manifest_of(lab, lab.run())
    assert len([file for file in manifest.files if file.kind == "config"]) == 200
    assert "conf/0.json" not in [file.name for file in manifest.files]
    assert any("200" in note for note in manifest.notes)


def test_a_virtual_environment_below_the_top_is_no_code(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write("env/pyvenv.cfg", "home = /nowhere\n")
    lab.write("env/lib/tools/inside.py", "VALUE = 1\n")
    lab.write("deps/dep.py", "VALUE = 1\n")
    lab.write("deps/dep-1.0.dist-info/RECORD", "dep.py,,\n")
    lab.write("deps/own.py", "VALUE = 1\n")
    lab.write(
        "train.py",
        "import sys\nsys.path[:0] = ['env/lib/tools', 'deps']\nimport inside, dep, own\n\n"
        "def run(config):\n    return 1\n",
    )
    assert files_of(lab, lab.run()).keys() == {"train.py", "deps/own.py"}


def test_a_project_in_a_virtual_environment_or_beside_its_results_is_code(new_lab: NewLab) -> None:
    """`python -m venv .`, and `results_root: .` in a folder of a larger project."""
    lab = new_lab(below="study")
    lab.write("pyvenv.cfg", "home = /nowhere\n")
    lab.write("lib/python3/site-packages/pkg.py", "")
    lab.write("study/20260101_120000_0123abcd/config.json", "{}")
    lab.write("study/conf.json", "{}")
    lab.write(
        "study/train.py",
        "import sys\nsys.path.append('../lib/python3/site-packages')\nimport helper, pkg\n\n"
        "def run(config):\n    open('20260101_120000_0123abcd/config.json').read()\n"
        "    open('conf.json').read()\n    return 1\n",
    )
    lab.write("study/helper.py", "")
    lab.results = lab.folder
    assert files_of(lab, lab.run()).keys() == {
        "study/train.py",
        "study/helper.py",
        "study/conf.json",
    }


def test_warm_runs_that_load_nothing_share_one_manifest(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "def run(config):\n    if config:\n        import lazy\n    return 1\n",
    )
    lab.write("lazy.py", "")
    worker = lab.worker()
    names = [worker.run(), worker.run(lazy=1), worker.run(), worker.run()]
    first, lazy, after, last = [ran.manifest for ran in names if ran is not None]
    assert len({first, lazy, after}) == 3
    assert last == after


def test_a_project_reached_through_a_link_is_the_same(new_lab: NewLab) -> None:
    lab = new_lab()
    (lab.place / "link").symlink_to(lab.home)
    (lab.place / "outside.py").write_text("VALUE = 1\n")
    lab.write(
        "train.py",
        "import helper, linked\n\ndef run(config):\n"
        f"    open({str(lab.place / 'link' / 'a.yaml')!r}).read()\n    return 1\n",
    )
    lab.write("helper.py", "")
    lab.write("a.yaml", "a: 1\n")
    (lab.home / "linked.py").symlink_to(lab.place / "outside.py")
    lab.extra_environment["PYTHONPATH"] = str(lab.place / "link")
    ran = lab.run()
    assert files_of(lab, ran).keys() == {"train.py", "helper.py", "linked.py", "a.yaml"}
    (lab.place / "outside.py").write_text("VALUE = 2\n")
    assert lab.compare(ran).files == ("linked.py",)


@pytest.mark.parametrize("words", [["-m", "pkg.tool"], ["-c", "import pkg.tool"], ["pkg"]])
def test_a_child_started_by_a_module_a_text_or_a_folder_tells(
    words: list[str], new_lab: NewLab
) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import subprocess, sys\n\ndef run(config):\n"
        f"    subprocess.run([sys.executable, *{words}], check=True)\n",
    )
    lab.write("pkg/__init__.py", "")
    lab.write("pkg/__main__.py", "import tool\n")
    lab.write("pkg/tool.py", "VALUE = 1\n")
    ran = lab.run()
    assert "pkg/tool.py" in files_of(lab, ran)
    assert not files_of(lab, ran)["pkg/tool.py"].bounded


def test_names_are_missed_in_folders_of_the_search_path_only(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import sys\nsys.path.insert(0, '__editable__.x.finder.__path_hook__')\n"
        "sys.path.insert(0, 'later')\ntry:\n    import nowhere\n"
        "except ImportError:\n    pass\n\ndef run(config):\n    return 1\n",
    )
    (lab.home / "later").mkdir()
    manifest = manifest_of(lab, lab.run())
    found = {each.folder for each in manifest.absent if "nowhere" in each.bare}
    assert found == {".", "later"}


@pytest.mark.slow
def test_what_children_told_does_not_pile_up(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "import os\nfrom argus_tasks.provenance.recording.import_hooks import installed\n\n"
        "def run(config):\n"
        "    recorder = installed()\n"
        "    if os.fork() == 0:\n"
        "        for at in range(4_000):\n"
        "            recorder.missed('/nowhere', 300 * 'x' + str(at), bare=True)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "    return os.fstat(recorder.journal._descriptor).st_size\n",
    )
    worker = lab.worker()
    sizes = [ran.result for ran in (worker.run(), worker.run(), worker.run()) if ran is not None]
    assert min(sizes) > 1_000_000
    assert max(sizes) < 2 * min(sizes)


def test_an_import_that_fails_says_what_it_would_without_hooks(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write(
        "train.py",
        "def run(config):\n    told = []\n    for name in ('broken', 'missing', 'latin'):\n"
        "        try:\n            __import__(name)\n        except Exception as error:\n"
        "            told.append([type(error).__name__, str(error)])\n    return told\n",
    )
    lab.write("broken.py", "def f(:\n")
    (lab.home / "latin.py").write_bytes(b"# \xe4\n")
    hooked = lab.run().result
    plain = subprocess.run(
        [sys.executable, "-c", "import json, train; print(json.dumps(train.run({})))"],
        cwd=lab.home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert hooked == json.loads(plain.stdout)


def test_a_removed_module_and_one_that_hides_are_told_in_words(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.write("train.py", "import helper\n\ndef run(config):\n    return 1\n")
    path = lab.write("helper.py", "")
    ran = lab.run()
    lab.write("helper/__init__.py", "")
    (difference,) = lab.compare(ran).differences
    assert str(difference) == "helper/__init__.py now hides helper.py"
    (lab.home / "helper" / "__init__.py").unlink()
    path.unlink()
    (difference,) = lab.compare(ran).differences
    assert str(difference) == "helper.py is gone"
