"""A results root that the first version left behind is read, gone on with, and run again."""

from __future__ import annotations

import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from argus_tasks import results
from argus_tasks.base.errors import BadInput
from argus_tasks.cli.main import main
from argus_tasks.experiments.experiment import experiment_from
from argus_tasks.planning.saved_request import load_request
from argus_tasks.planning.sweep_plan import Action
from argus_tasks.runs.ledger.sweep_folder import batches, checked_json
from argus_tasks.session.prepared_sweep import make_plan, prepare

STORED = Path(__file__).parents[2] / "data" / "first_turn_results.tar.gz"
CODE = "def run(ctx):\n    return {'loss': ctx.config['lr']}\n"


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results root of six configs, of which two have failed, beside its experiment."""
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "exp.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "exp", raising=False)
    return tmp_path / "results"


def test_its_folders_are_read(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = results(stored)
    losses = rows[rows["status"] == "succeeded"]["loss"]
    assert sorted(losses) == [0.1, 0.1, 0.2, 0.2]
    assert main(["verify", str(stored)]) == 0
    assert main(["status", "--results-root", str(stored)]) == 0
    assert "4 of 6 succeeded" in capsys.readouterr().out


def test_status_takes_a_sweeps_name(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = batches(stored)
    name = (folder.state() or {})["name"]
    assert main(["status", name, "--results-root", str(stored)]) == 0
    assert folder.batch_id in capsys.readouterr().out
    assert main(["status", f"{name}x", "--results-root", str(stored)]) == 2
    assert f"Did you mean '{name}'?" in capsys.readouterr().err


def test_its_options_are_taken_from_its_record(stored: Path) -> None:
    (folder,) = batches(stored)
    request = load_request(folder)
    assert (request.execution.order, request.execution.timeout_s) == ("smoke_first", 60.0)
    assert (request.retry.max_attempts, request.retry.retry_on) == (2, ("OSError",))
    assert request.spec.stop.max_failures == 5
    assert request.spec.on_code_change == "rerun"
    assert list(request.spec.limits) == ["license"]
    assert request.metadata is not None
    assert (request.metadata.group, request.metadata.tags) == ("g", ["t"])


def test_what_failed_is_run_again_and_the_rest_reused(stored: Path) -> None:
    (folder,) = batches(stored)
    request = load_request(folder)
    plan = make_plan(request.with_options(on_code_change="warn"))
    assert plan.batch_id == folder.batch_id
    assert (plan.count(Action.REUSE), plan.count(Action.RUN)) == (4, 2)
    (note,) = plan.notes
    assert note.startswith("4 runs that are reused or resumed were made by code that was not")


def test_what_nobody_knows_the_code_of_is_run_again_or_refused(stored: Path) -> None:
    (folder,) = batches(stored)
    request = load_request(folder)
    assert request.spec.on_code_change == "rerun"
    assert make_plan(request).count(Action.RUN) == 6
    with pytest.raises(BadInput, match="4 runs that would be reused or resumed were made by code"):
        prepare(request.with_options(on_code_change="stop"))


def test_another_experiment_of_the_same_import_path_takes_none_of_them(
    stored: Path, tmp_path: Path
) -> None:
    (folder,) = batches(stored)
    state = json.loads((folder.path / "sweep.json").read_text())
    state["sessions"][-1]["recipe"] |= {"folder": str(tmp_path), "file": None}
    (folder.path / "sweep.json").write_text(checked_json(state))
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "exp.py").write_text(CODE)
    request = load_request(folder).with_options(on_code_change="warn")
    other = experiment_from("exp:run", elsewhere)
    plan = make_plan(replace(request, experiment=other, batch_id=None))
    assert plan.count(Action.RUN) == 6
