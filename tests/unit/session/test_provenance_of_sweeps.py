"""What sweeps record of their code, and what they do while it is edited: in real workers."""

from __future__ import annotations

import ast
import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.cli.main import main
from argus_tasks.experiments.experiment import experiment_from
from argus_tasks.planning.resolve import resolve
from argus_tasks.planning.sweep_plan import Action, Plan
from argus_tasks.provenance import static_imports
from argus_tasks.provenance.distributions import copied_projects
from argus_tasks.runs.ledger.catalogue import known_runs
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import SweepSession, new_session

TRAIN = """
import helper

def run(ctx):
    return {"value": helper.VALUE}
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project of two files, older than any process of the test."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "helper.py").write_text("VALUE = 1\n")
    wait()
    yield tmp_path
    for name in ("train", "helper"):
        sys.modules.pop(name, None)


def wait() -> None:
    """Wait past the grain of the clock of files, as a person's edits are apart."""
    time.sleep(0.06)


def session_of(
    project: Path, configs: Any = ({"x": 1},), what: str = "train:run", **more: Any
) -> SweepSession:
    experiment = experiment_from(what, project)
    options = {"mode": "process_pool", "workers": 1, "results_root": project / "results", **more}
    return new_session(resolve(list(configs), experiment, **{"name": "ours", **options}))


def run_all(session: SweepSession) -> list[float | None]:
    with session:
        runner = AttemptRunner(session)
        outcomes = [runner.run_one(index, 1) for index in session.plan.order.indexes]
    return [outcome.metrics.get("value", outcome.ending) for outcome in outcomes]


def plan_of(
    project: Path, configs: Any = ({"x": 1},), what: str = "train:run", **more: Any
) -> Plan:
    session = session_of(project, configs, what, **more)
    session.close()
    return session.plan


def test_a_repeated_start_reuses_and_an_edit_is_named(project: Path) -> None:
    assert run_all(session_of(project)) == [1]
    assert plan_of(project).notes == []
    (project / "helper.py").write_text("VALUE = 2\n")
    plan = plan_of(project)
    assert plan.count(Action.REUSE) == 1
    (note,) = plan.notes
    assert note.startswith("1 run that is reused or resumed was made by other code: helper.py (")
    assert run_all(session_of(project, on_code_change="rerun")) == [2]
    assert plan_of(project, on_code_change="stop").notes == []
    (project / "helper.py").write_text("VALUE = 1\n")
    again = plan_of(project, on_code_change="stop")
    assert again.notes == [], "after the edit is reverted, the older run counts"


def test_two_experiments_of_one_name_are_two(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name, value in (("ours", 1), ("theirs", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text(
            f"def run(ctx):\n    return {{'value': {value}}}\n"
        )
    root = tmp_path / "results"
    batches = set()
    for name, value in (("ours", 1), ("theirs", 2)):
        session = session_of(tmp_path / name, results_root=root)
        batches.add(session.plan.batch_id)
        assert run_all(session) == [value]
    assert len(batches) == 2


def test_an_edit_while_it_runs_is_said_once(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configs = [{"x": x} for x in range(4)]
    with session_of(project, configs) as session, caplog.at_level(logging.WARNING):
        runner = AttemptRunner(session)
        runner.run_one(0, 1)
        session.code_watch.compare()
        assert caplog.messages == []
        (project / "helper.py").write_text("VALUE = 2\n")
        assert runner.run_one(1, 1).metrics == {"value": 1}, (
            "a warm worker keeps what it has loaded"
        )
        session.code_watch.compare()
        session.code_watch.compare()
        assert not session.stopping
    (said,) = caplog.messages
    assert "helper.py" in said
    assert "go on with what was loaded" in said
    assert plan_of(project, configs, on_code_change="rerun").count(Action.RUN) == 4


def test_an_edit_stops_a_sweep_that_asked_for_it(project: Path) -> None:
    with session_of(project, [{"x": 1}, {"x": 2}], on_code_change="stop") as session:
        runner = AttemptRunner(session)
        runner.run_one(0, 1)
        (project / "helper.py").write_text("VALUE = 2\n")
        deadline = time.monotonic() + 10
        while not session.stopping and time.monotonic() < deadline:
            time.sleep(0.05)
        assert session.stopped_by == "code changed"
        assert "helper.py" in session.stop_reason


def test_a_fresh_process_never_mixes_two_codes(project: Path) -> None:
    (project / "train.py").write_text(
        "import helper\n\ndef run(ctx):\n    import late\n"
        "    return {'value': helper.VALUE + late.VALUE}\n"
    )
    (project / "late.py").write_text("VALUE = 10\n")
    wait()
    with session_of(project, [{"x": 1}, {"x": 2}], fresh_process=True) as session:
        runner = AttemptRunner(session)
        assert runner.run_one(0, 1).metrics == {"value": 11}
        (project / "helper.py").write_text("VALUE = 2\n")
        (project / "late.py").write_text("VALUE = 20\n")
        assert runner.run_one(1, 1).metrics == {"value": 22}
    assert plan_of(project, [{"x": 2}], on_code_change="stop").notes == []
    assert plan_of(project, [{"x": 1}], on_code_change="rerun").count(Action.RUN) == 1


def test_a_frozen_sweep_runs_what_there_was_at_its_start(project: Path) -> None:
    (project / "train.py").write_text(
        "def run(ctx):\n    import helper\n    return {'value': helper.VALUE}\n"
    )
    session = session_of(project, [{"x": 1}, {"x": 2}], freeze=True)
    (project / "helper.py").write_text("VALUE = 2\n")
    with session:
        runner = AttemptRunner(session)
        assert [runner.run_one(index, 1).metrics["value"] for index in (0, 1)] == [1, 1]
        assert not list((project / "results").glob("2*/helper.py"))
    assert not list((project / "results" / ".sweep" / "frozen").glob("*"))
    assert plan_of(project, on_code_change="rerun").count(Action.RUN) == 1
    (project / "helper.py").write_text("VALUE = 1\n")
    assert plan_of(project, on_code_change="stop").notes == [], "the names are the project's own"


def test_what_a_frozen_run_opens_in_its_working_folder_counts(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    (project / "conf.json").write_text("1")
    (project / "train.py").write_text(
        "def run(ctx):\n    return {'value': float(open('conf.json').read())}\n"
    )
    assert run_all(session_of(project, freeze=True)) == [1]
    assert plan_of(project, on_code_change="stop").notes == []
    (project / "conf.json").write_text("2")
    assert "conf.json" in plan_of(project).notes[0]


def test_a_frozen_sweep_has_its_code_though_its_results_lie_beside_that(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    study = project / "study"
    (study / ".sweep").mkdir(parents=True)
    for name in ("train.py", "helper.py"):
        (project / name).rename(study / name)
    session = session_of(study, results_root=study, freeze=True)
    (study / "helper.py").write_text("VALUE = 2\n")
    assert run_all(session) == [1]


def test_freeze_needs_worker_processes(project: Path) -> None:
    with pytest.raises(BadInput, match="freeze is true, but mode 'thread'"):
        session_of(project, freeze=True, mode="thread")


def test_inputs_are_compared_and_named(project: Path) -> None:
    (project / "data").mkdir()
    (project / "data" / "a.csv").write_text("1\n")
    given = {"inputs": [str(project / "data")]}
    run_all(session_of(project, **given))
    assert plan_of(project, **given).notes == []
    (project / "data" / "a.csv").write_text("2\n")
    assert "data/a.csv" in plan_of(project, **given).notes[0]
    assert plan_of(project, **given, on_code_change="rerun").count(Action.RUN) == 1
    (project / "data" / "a.csv").write_text("1\n")
    (project / "data" / "b.csv").write_text("1\n")
    assert "data/b.csv is a new input" in plan_of(project, **given).notes[0]
    with pytest.raises(BadInput, match="inputs has 'nowhere'"):
        plan_of(project, inputs=["nowhere"])


def test_what_is_excluded_does_not_count(project: Path) -> None:
    run_all(session_of(project, code_exclude=["help*"]))
    (project / "helper.py").write_text("VALUE = 2\n")
    assert plan_of(project, code_exclude=["help*"], on_code_change="stop").notes == []
    (note,) = plan_of(project).notes
    assert "helper.py" in note, "nobody excludes it any more"
    run_all(session_of(project, on_code_change="rerun"))
    (project / "helper.py").write_text("VALUE = 3\n")
    assert plan_of(project, code_exclude=["help*"], on_code_change="stop").notes == []


def test_what_is_included_later_was_not_recorded(project: Path) -> None:
    (project / "table.txt").write_text("1\n")
    run_all(session_of(project))
    named = {"code_include": [str(project / name) for name in ("table.txt", "helper.py")]}
    (note,) = plan_of(project, **named).notes
    assert note.startswith("1 run that is reused or resumed was perhaps made by other code: table.")
    assert "helper.py" not in note, "that it executed"


def test_a_script_of_another_language_counts_with_its_neighbours(project: Path) -> None:
    (project / "fit.sh").write_text(". ./lib.sh\necho METRIC value=$VALUE\n")
    (project / "lib.sh").write_text("VALUE=1\n")
    what = "command:sh fit.sh"
    assert run_all(session_of(project, what=what)) == [1]
    assert plan_of(project, what=what, on_code_change="stop").notes == []
    (project / "lib.sh").write_text("VALUE=2\n")
    assert "lib.sh" in plan_of(project, what=what).notes[0]


def test_a_command_of_which_nothing_is_known_is_unknown(project: Path) -> None:
    what = "command:echo METRIC value=1"
    run_all(session_of(project, what=what))
    assert "made by code that was not recorded" in plan_of(project, what=what).notes[0]
    (project / "Makefile").write_text("all:\n")
    named = {"what": what, "code_include": [str(project / "Makefile")], "configs": [{"x": 2}]}
    run_all(session_of(project, **named))
    assert plan_of(project, on_code_change="stop", **named).notes == []
    (project / "Makefile").write_text("all: some\n")
    assert "Makefile" in plan_of(project, **named).notes[0]


def test_what_another_sweep_finishes_by_other_code_is_not_taken(project: Path) -> None:
    ours = session_of(project)
    (project / "helper.py").write_text("VALUE = 2\n")
    assert run_all(session_of(project, name="theirs")) == [2]
    (project / "helper.py").write_text("VALUE = 1\n")
    assert run_all(ours) == [1]


def test_what_another_sweep_finishes_by_equal_code_is_taken(project: Path) -> None:
    ours = session_of(project)
    assert run_all(session_of(project, name="theirs")) == [1]
    with ours:
        assert not ours.claim(ours.plan.to_do[0])
        assert ours.claims.count("succeeded") == 1


STUDY = """
import sys
from argus_tasks.planning.resolve import resolve
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.sweep_session import new_session

SCALE = 10

def helper(x):
    return x * SCALE

def run(ctx):
    return {"value": helper(ctx.config["x"])}

if __name__ == "__main__":
    session = new_session(resolve([{"x": 1}], run, name="s", results_root="results", workers=1,
                                  mode=sys.argv[1]))
    print([run.action for run in session.plan.runs], session.plan.notes)
    with session:
        for index in session.plan.order.indexes:
            print(AttemptRunner(session).run_one(index, 1).metrics)
"""


@pytest.mark.parametrize("mode", ["process_pool", "sequential", "thread"])
def test_a_helper_of_the_main_script_counts(tmp_path: Path, mode: str) -> None:
    def start() -> str:
        wait()
        words = [sys.executable, "study.py", mode]
        return subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    script = tmp_path / "study.py"
    script.write_text(STUDY)
    assert "{'value': 10.0}" in start()
    assert "reuse" in start()
    script.write_text(STUDY.replace("SCALE = 10", "SCALE = 11"))
    said = start()
    assert "reuse" in said
    assert "made by other code: study.py" in said
    script.write_text(STUDY.replace("SCALE = 10", "SCALE = 10  # metres"))
    said = start()
    assert "only comments, layout or line ends differ in study.py" in said


NOTEBOOK = """
import linecache, sys, json
from argus_tasks.planning.resolve import resolve
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import new_session

names = {"__name__": "__main__"}
def cell(number, text):
    file = f"/nowhere/ipykernel_1/{number}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    exec(compile(text, file, "exec"), names)
    vars(sys.modules["__main__"]).update(names)

def request():
    return resolve([{"x": 1}], names["run"], name="n", results_root="results", workers=1,
                   mode=sys.argv[1])

cell(1, "def helper(x):\\n    return x * 2\\n")
cell(2, "def other(x):\\n    return x * 3\\n")
cell(3, "def run(ctx):\\n    return {'value': helper(ctx.config['x'])}\\n")
with new_session(request()) as session:
    print(AttemptRunner(session).run_one(0, 1).metrics)
print(make_plan(request()).notes)
cell(4, "def other(x):\\n    return x * 30\\n")
print(make_plan(request()).notes)
cell(5, "def helper(x):\\n    return x * 20\\n")
print(make_plan(request()).notes)
"""


@pytest.mark.parametrize("mode", ["process_pool", "sequential"])
def test_a_notebooks_cells_count_as_far_as_they_are_reached(tmp_path: Path, mode: str) -> None:
    words = [sys.executable, "-c", NOTEBOOK, mode]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    metrics, same, unreached, reached = done.stdout.splitlines()
    assert (metrics, same, unreached) == ("{'value': 2.0}", "[]", "[]")
    assert "made by other code: cell/helper" in reached


OLD_KERNEL = """
import sys, time
import helper
from pathlib import Path
from argus_tasks.planning.resolve import resolve
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.prepared_sweep import make_plan
from argus_tasks.session.sweep_session import new_session
import train

def request():
    return resolve([{"x": 1}], train.run, name="n", results_root="results", mode="sequential")

with new_session(request()) as session:
    print(AttemptRunner(session).run_one(0, 1).metrics)
time.sleep(0.06)
Path("helper.py").write_text("VALUE = 2\\n")
print(make_plan(request()).notes)
"""


def test_a_module_that_is_edited_under_an_old_process_is_as_it_was_loaded(project: Path) -> None:
    (project / "kernel.py").write_text(OLD_KERNEL)
    wait()
    words = [sys.executable, "kernel.py"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["{'value': 1.0}", "[]"], done.stderr
    assert "helper.py" in plan_of(project, mode="process_pool").notes[0], "a new process sees it"


def test_diff_and_accept(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    run_all(session_of(project))
    (run,) = known_runs(project / "results")
    assert main(["diff", run.run_id]) == 0
    assert capsys.readouterr().out == f"what {run.run_id} executed is what there is now\n"
    (project / "helper.py").write_text("VALUE = 1 + 0\n")
    assert main(["diff", run.run_id]) == 0
    out = capsys.readouterr().out
    assert out.startswith("changed: helper.py (")
    assert "-VALUE = 1\n+VALUE = 1 + 0\n" in out
    assert main(["accept", "train.py", "--because", "nothing"]) == 2
    assert "whose content now is no change for a run" in capsys.readouterr().err
    assert main(["accept", "helper.py", "--because", "the same sum"]) == 0
    assert "accepted: helper.py" in capsys.readouterr().out
    assert main(["accept", "helper.py", "--because", "again"]) == 2
    assert "is accepted already" in capsys.readouterr().err
    assert main(["accept", "helper.py", "--because", "x", "--results-root", "elsewhere"]) == 2
    assert "there is no folder" in capsys.readouterr().err
    plan = plan_of(project, on_code_change="stop")
    assert plan.count(Action.REUSE) == 1
    assert plan.notes[0].startswith("1 run is reused or resumed: a change was accepted: helper.py")
    assert main(["verify", "results"]) == 0
    assert "helper.py: the same sum" in capsys.readouterr().out
    (project / "helper.py").write_text("VALUE = 1 + 1\n")
    with pytest.raises(BadInput, match=r"helper\.py"):
        plan_of(project, on_code_change="stop")


def test_repeats_of_several_codes_are_told_apart(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = [{"x": 1, "seed": seed} for seed in range(4)]
    with session_of(project, seeds, fresh_process=True) as session:
        runner = AttemptRunner(session)
        for index in range(4):
            if index == 2:
                (project / "helper.py").write_text("VALUE = 2\n")
            runner.run_one(index, 1)
    assert main(["results", str(project / "results")]) == 0
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if line[:1].isdigit()]
    assert [(row[1], row[-1]) for row in rows] == [("1", "2"), ("2", "2")], shown
    assert "code" in shown
    assert main(["verify", str(project / "results")]) == 0
    assert "were made by several versions of the code" in capsys.readouterr().out


def test_a_run_that_is_resumed_by_other_code_names_both(project: Path) -> None:
    (project / "train.py").write_text(
        "import os, signal, helper\n\ndef run(ctx):\n"
        "    if not ctx.resumed:\n        os.kill(os.getpid(), 9)\n"
        "    return {'value': helper.VALUE}\n"
    )
    wait()
    run_all(session_of(project))
    (run,) = known_runs(project / "results")
    record = run.record | {"status": "running", "finished_at": None, "owner": {}}
    Path(run.run_dir, "run.json").write_text(json.dumps(record))
    assert run.record["manifest"] is not None, "what a killed run had loaded is known"
    (project / "helper.py").write_text("VALUE = 2\n")
    assert plan_of(project, on_code_change="rerun").count(Action.RUN) == 1
    with pytest.raises(BadInput, match=r"helper\.py"):
        plan_of(project, on_code_change="stop")
    assert run_all(session_of(project)) == [2]
    (run,) = known_runs(project / "results")
    assert run.record["earlier_manifests"] not in ([], [run.record["manifest"]])
    assert "helper.py" in plan_of(project).notes[0], "a part of its number is of the old code"


def test_nothing_is_recorded_of_a_full_store_and_that_is_said(project: Path) -> None:
    if os.geteuid() == 0:
        objects = project / "results" / ".sweep" / "objects"
        objects.parent.mkdir(parents=True)
        objects.write_text("a file where the folder belongs")
    assert run_all(session_of(project)) == [1]
    (run,) = known_runs(project / "results")
    assert run.record["manifest"] is None
    assert "the code of this run is not recorded" in Path(run.run_dir, "run.log").read_text()
    assert make_plan(session_of(project).request).notes


def test_runs_that_overlap_make_one_list_of_what_children_may_load(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's parser fails in threads; the list of a process that may spawn children is made of
    imports."""
    import multiprocessing.popen_spawn_posix  # noqa: F401 - as an experiment that spawns has it

    for at in range(60):
        (project / f"m{at}.py").write_text("import helper\n" + f"VALUE = {[at] * 500}\n" * 20)
    names = ", ".join(f"m{at}" for at in range(60))
    (project / "train.py").write_text(f"import {names}\n{TRAIN}")
    wait()
    parsed: Counter[bytes] = Counter()

    def parse(content: bytes) -> ast.AST:
        parsed[content] += 1
        return ast.parse(content)

    monkeypatch.setattr(static_imports, "ast", SimpleNamespace(**{**vars(ast), "parse": parse}))
    try:
        session = session_of(project, [{"x": x} for x in range(8)], mode="thread", workers=4)
        with session, ThreadPoolExecutor(4) as pool:
            runner = AttemptRunner(session)
            found = list(pool.map(lambda index: runner.run_one(index, 1), range(8)))
        assert [outcome.metrics for outcome in found] == [{"value": 1}] * 8
        assert len({outcome.manifest for outcome in found}) == 1
        assert parsed[(project / "m7.py").read_bytes()] == 1, "not once a run"
    finally:
        for at in range(60):
            sys.modules.pop(f"m{at}", None)


def test_a_success_of_old_code_is_followed_not_what_failed_before_it(project: Path) -> None:
    """Else the folders would tell of two successes of one config, and `verify` calls that wrong."""
    (project / "train.py").write_text(
        f"raise_now = True\n{TRAIN}".replace(
            "    return", "    if raise_now:\n        raise ValueError\n    return"
        )
    )
    wait()
    run_all(session_of(project))
    (project / "train.py").write_text(TRAIN)
    assert run_all(session_of(project, on_code_change="rerun")) == [1]
    (project / "helper.py").write_text("VALUE = 2\n")
    assert run_all(session_of(project, on_code_change="rerun")) == [2]
    assert main(["verify", str(project / "results")]) == 0


def test_a_project_that_is_installed_as_a_copy_is_said_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = project.parent / f"{project.name}-site" / "site-packages"
    info = site / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "mine.py").write_text("VALUE = 1\n")
    (info / "RECORD").write_text("mine.py,,\n")
    said = {"url": project.as_uri(), "dir_info": {"editable": False}}
    (info / "direct_url.json").write_text(json.dumps(said))
    monkeypatch.syspath_prepend(str(site))
    copied_projects.cache_clear()
    (project / "train.py").write_text(f"import mine\n{TRAIN}")
    wait()
    try:
        with caplog.at_level(logging.WARNING):
            run_all(session_of(project, [{"x": 1}, {"x": 2}]))
    finally:
        copied_projects.cache_clear()
    (text,) = [each for each in caplog.messages if "installed as a copy" in each]
    assert text.startswith("mine is installed as a copy of this project")
