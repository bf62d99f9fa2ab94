"""`verify`: clean where all is well, and it names whatever file has one byte flipped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.processes import this_process
from argus_tasks.cli.main import main
from argus_tasks.runs.ledger import verification as verifying
from argus_tasks.runs.ledger.checked_files import VerifyResult
from argus_tasks.runs.ledger.claims import Claims
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, batches
from argus_tasks.runs.ledger.verification import verify
from argus_tasks.session.attempt_runner import AttemptRunner
from argus_tasks.session.sweep_session import SweepSession, new_session
from tests.support import experiments
from tests.support.sessions import records, request_for, run_session

KINDS = ["ok", "value_error", "skip", "nan"]


def sweep(root: Path, name: str = "s", **more: Any) -> SweepSession:
    configs = [{"kind": kind} for kind in KINDS]
    return new_session(
        request_for(configs, experiments.mixed, root, name=name, mode="thread", **more)
    )


def said(verdict: VerifyResult) -> list[str]:
    return [f"{finding.path}: {finding.sentence}" for finding in verdict.findings]


def test_a_sweep_with_every_kind_of_end_is_whole(results_root: Path) -> None:
    run_session(sweep(results_root, max_attempts=2))
    verdict = verify(results_root)
    assert said(verdict) == []
    (counts,) = verdict.outcomes.values()
    assert counts == {"succeeded": 2, "failed": 1, "skipped": 1}
    assert verdict.runs == 4
    assert verdict.unchecked == 0
    # config, run, meta, events, log of each, and what metrics and errors there are
    assert verdict.files >= 4 * 5 + 3


def test_one_flipped_byte_in_each_file_in_turn_is_named(results_root: Path) -> None:
    run_session(sweep(results_root))
    claims = Claims(results_root, "batch-1", owner={**this_process(), "host": "elsewhere"})
    claims.open()
    assert claims.take("d" * 64, "run-1") is not None
    assert said(verify(results_root)) == []
    # How much a batch has stored is counted for its own limit: nobody else reads that.
    every = (path for path in results_root.rglob("*") if "accounts" not in path.parts)
    files = [path for path in every if path.is_file() and path.stat().st_size]
    assert len(files) > 20
    for path in files:
        whole = path.read_bytes()
        for place in {0, len(whole) // 3, len(whole) // 2, len(whole) - 2, len(whole) - 1}:
            for flip in (0x01, 0xFF):
                changed = bytearray(whole)
                changed[place] ^= flip
                path.write_bytes(changed)
                named = {finding.path for finding in verify(results_root).findings}
                assert str(path) in named, f"byte {place} ^ {flip} of {path}"
        path.write_bytes(whole)
    assert said(verify(results_root)) == []


def test_a_file_and_a_folder_that_are_gone_are_named(results_root: Path) -> None:
    run_session(sweep(results_root))
    first, second = records(results_root)[:2]
    (first["dir"] / "config.json").unlink()
    for path in sorted(second["dir"].rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    second["dir"].rmdir()
    paths = {finding.path for finding in verify(results_root).findings}
    assert paths == {str(first["dir"] / "config.json"), str(second["dir"])}


def test_a_line_cut_out_of_the_ledger_is_noticed(results_root: Path) -> None:
    run_session(sweep(results_root))
    (folder,) = batches(results_root)
    ledger = folder.path / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    started = next(index for index, line in enumerate(lines) if '"event":"ended"' in line)
    ledger.write_text("".join(lines[:started] + lines[started + 1 :]))
    assert verify(results_root).findings


def test_what_was_cut_off_has_a_reason_and_what_is_torn_an_explanation(results_root: Path) -> None:
    session = sweep(results_root)
    session.__enter__()
    AttemptRunner(session).run_one(0, 1)
    ledger = session.folder.path / "ledger.jsonl"
    with ledger.open("a") as handle:
        handle.write('{"at":"2026')  # the process is killed in the middle of a line
    _forget(session.folder)
    verdict = verify(results_root)
    assert said(verdict) == []
    (counts,) = verdict.outcomes.values()
    assert counts == {"succeeded": 1, "not started: its session was killed": 3}
    session.claims.close()
    session.folder._alone.give_back()
    run_session(sweep(results_root))
    assert said(verify(results_root)) == []
    assert '"event":"torn"' in ledger.read_text()


def _forget(folder: SweepFolder) -> None:
    """As if the session's process were dead."""
    folder.note_session(folder.sessions()[-1]["id"], process={**this_process(), "pid_started": "0"})


def test_two_successes_of_one_config_are_told(results_root: Path) -> None:
    session = sweep(results_root)
    with session:
        for index in range(len(KINDS)):
            AttemptRunner(session).run_one(index, 1)
        run = session.plan.runs[0]
        session.claims._ours.pop(0)
        session.results.keys.pop(0)
        session.claims._fresh = True
        assert run.known is None
        AttemptRunner(session).run_one(0, 1)
    (finding,) = verify(results_root).findings
    assert "has succeeded 2 times" in finding.sentence


def test_an_attempt_that_starts_before_the_last_one_has_ended_is_told(results_root: Path) -> None:
    with sweep(results_root) as session:
        facts = {"digest": "d", "run_id": "r", "cause": None, "status": "running"}
        session.folder.note(**facts, attempt=1, event="started")
        session.folder.note(**facts, attempt=2, event="started")
    assert any("starts before attempt 1 has ended" in line for line in said(verify(results_root)))


def change_while_it_looks(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]
) -> list[int]:
    """Have something happen once, after the ledgers were read and before the folders are."""
    changed: list[int] = []
    run_ids = verifying._Check._run_ids

    def meanwhile(check: Any) -> list[str]:
        if not changed:
            changed.append(1)
            change()
        return run_ids(check)

    monkeypatch.setattr(verifying._Check, "_run_ids", meanwhile)
    return changed


def test_what_gets_on_while_it_looks_is_not_wrong(
    results_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sweep(results_root, max_attempts=9) as session:
        AttemptRunner(session).run_one(0, 1)
        AttemptRunner(session).run_one(1, 1)
        changed = change_while_it_looks(monkeypatch, lambda: AttemptRunner(session).run_one(1, 2))
        verdict = verify(results_root)
        assert (said(verdict), changed) == ([], [1])
        # what is damaged is told beside a sweep that runs, too
        (done,) = [run for run in records(results_root) if run["status"] == "succeeded"]
        (done["dir"] / "config.json").write_text("{}")
        (finding,) = verify(results_root).findings
        assert finding.path == str(done["dir"] / "config.json")


def test_a_session_that_ends_while_it_looks_has_lost_nothing(
    results_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = sweep(results_root)
    change_while_it_looks(monkeypatch, lambda: run_session(session))
    with sweep(results_root, name="other"):
        verdict = verify(results_root)
    assert said(verdict) == []


def test_a_run_that_runs_is_said_to(results_root: Path) -> None:
    with sweep(results_root) as session:
        session.folder.note(
            digest=session.plan.runs[0].digest, run_id="r", attempt=1, event="started", status=""
        )
        (counts,) = verify(results_root).outcomes.values()
    assert counts == {"running": 1, "not started yet": 3}


def test_an_attempt_that_was_started_twice_is_told(results_root: Path) -> None:
    with sweep(results_root) as session:
        facts = {"digest": "d", "run_id": "r", "cause": None, "attempt": 1}
        for event in ("started", "ended", "started", "ended"):
            session.folder.note(**facts, event=event, status="failed")
    assert any("attempt 1 of r was started twice" in line for line in said(verify(results_root)))


@pytest.mark.parametrize("overlap", [True, False])
def test_attempts_of_two_batches_that_overlap_are_told(results_root: Path, overlap: bool) -> None:
    """Two sweeps had the run at once; one after the other is how it is taken over."""
    order = [("one", "started"), ("two", "started"), ("one", "ended"), ("two", "ended")]
    if not overlap:
        order[1], order[2] = order[2], order[1]
    with sweep(results_root, name="one") as one, sweep(results_root, name="two") as two:
        sessions = {"one": (one, 1), "two": (two, 2)}
        for name, event in order:
            session, attempt = sessions[name]
            session.folder.note(
                digest="d", run_id="r", attempt=attempt, event=event, status="failed", cause=None
            )
    told = [line for line in said(verify(results_root)) if "began before" in line]
    batch = one.plan.batch_id
    assert [f"attempt 2 of r began before attempt 1 of {batch} had ended" in x for x in told] == [
        True
    ] * overlap


def test_a_run_json_of_another_run_and_one_that_is_gone_are_told(results_root: Path) -> None:
    run_session(sweep(results_root))
    first, second = records(results_root)[:2]
    path = first["dir"] / "run.json"
    path.write_text(path.read_text().replace(first["run_id"], second["run_id"]))
    (second["dir"] / "run.json").unlink()
    told = said(verify(results_root))
    assert f"{path}: its run_id is {second['run_id']!r}" in told
    assert f"{second['dir'] / 'run.json'}: is missing" in told


def test_the_command_says_it_and_exits_1(
    results_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_OUTBOX_DIR", str(results_root.parent / "outbox"))
    run_session(sweep(results_root))
    assert main(["verify", str(results_root)]) == 0
    out = capsys.readouterr().out
    assert "4 configs: 2 succeeded, 1 failed, 1 skipped" in out
    assert "all is whole" in out
    record = records(results_root)[0]
    path = record["dir"] / "config.json"
    path.write_text(path.read_text().replace("kind", "kinD"))
    assert main(["verify", str(results_root)]) == 1
    out = capsys.readouterr().out
    assert f"WRONG {record['run_id']}/config.json: has changed since its run ended" in out
    assert main(["verify", str(results_root), "--batch", "nobody"]) == 2


def test_a_word_that_ledger_and_folder_disagree_on_is_told(results_root: Path) -> None:
    run_session(sweep(results_root))
    record = next(one for one in records(results_root) if one["status"] == "failed")
    path = record["dir"] / "run.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "status": "succeeded"}))
    assert any(
        "its status is 'succeeded'; the ledger says 'failed'" in line
        for line in said(verify(results_root))
    )


def test_a_stop_is_heard_within_a_second(results_root: Path) -> None:
    from argus_tasks.runs.ledger.stop_request import request_stop, stop_is_requested

    with sweep(results_root) as session:
        folder = os.fspath(session.folder.path)
        request_stop(folder, "somebody", now=False)
        began = time.monotonic()
        while not session.stopping:
            assert time.monotonic() < began + 5
            time.sleep(0.01)
        assert session.stopped_by == "argus-tasks stop"
        assert not session.stops.hurried
        assert not stop_is_requested(folder)
        request_stop(folder, "somebody", now=True)
        while not session.stops.hurried:
            assert time.monotonic() < began + 5
            time.sleep(0.01)
    request_stop(folder, "somebody", now=False)  # nobody runs: the next session must not hear it
    with sweep(results_root) as session:
        time.sleep(0.6)
        assert not session.stopping
