"""The ledger's lines say when they have been tampered with; sweeps find their batch again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from argus_tasks.base.files import read_json
from argus_tasks.runs.ledger.sweep_folder import SweepFolder, SweepIdentity, find_batch, line_holds

IDENTITY = SweepIdentity("p", "n", "m:f")


def test_a_flipped_byte_in_a_line_is_seen(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path, "batch-1")
    folder.open_session(IDENTITY, git_sha=None, created_by="me")
    folder.note(digest="d", run_id="r", event="ended", status="succeeded")
    folder.close()
    line = (folder.path / "ledger.jsonl").read_text()
    assert line_holds(line)
    for place in range(len(line) - 1):
        flipped = line[:place] + chr(ord(line[place]) ^ 1) + line[place + 1 :]
        assert not line_holds(flipped), flipped


def test_sessions_are_kept(tmp_path: Path) -> None:
    for how in ("first", "second"):
        folder = SweepFolder(tmp_path, "batch-1")
        session = folder.open_session(IDENTITY, git_sha="abc", created_by="me")
        folder.close_session(session, how)
        folder.close()
    state = read_json(folder.path / "sweep.json")
    assert [entry["how"] for entry in state["sessions"]] == ["first", "second"]
    assert state["git_sha"] == "abc"


def test_one_process_has_a_batch_and_another_is_told_which(tmp_path: Path) -> None:
    mine = SweepFolder(tmp_path, "batch-1")
    mine.take()
    mine.open_session(IDENTITY, git_sha=None, created_by="me")
    code = (
        "import sys; from pathlib import Path\n"
        "from argus_tasks.runs.ledger.sweep_folder import SweepFolder\n"
        "SweepFolder(Path(sys.argv[1]), sys.argv[2]).take()"
    )

    def other_takes(batch_id: str) -> str:
        words = [sys.executable, "-c", code, str(tmp_path), batch_id]
        return subprocess.run(words, capture_output=True, text=True, check=False).stderr

    assert f"batch batch-1 is being run by process {os.getpid()} on" in other_takes("batch-1")
    assert other_takes("batch-2") == ""
    mine.close()
    assert other_takes("batch-1") == ""


def test_an_attempt_is_open_until_it_has_ended_or_was_closed(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path, "batch-1")
    folder.open_session(IDENTITY, git_sha=None, created_by="me")
    for run_id in ("ends", "is closed", "stays"):
        folder.note(run_id=run_id, attempt=1, event="started")
    folder.note(run_id="ends", attempt=1, event="ended")
    folder.note(run_id="is closed", attempt=1, event="closed")
    folder.note(run_id="ends", attempt=2, event="started")
    folder.close()
    found = SweepFolder(tmp_path, "batch-1").open_attempts()
    assert {run_id: line["attempt"] for run_id, line in found.items()} == {"stays": 1, "ends": 2}


def test_two_that_change_it_at_once_keep_each_others_changes(tmp_path: Path) -> None:
    """Two threads here and a process: no session and no note of one is lost."""
    rounds = 12
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.unit.runs.test_sweep_folder import open_and_note\n"
        "open_and_note(Path(sys.argv[1]), int(sys.argv[2]), 'process')\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path), str(rounds)]
    with subprocess.Popen(words) as process, ThreadPoolExecutor(2) as threads:
        for who in ("one", "other"):
            threads.submit(open_and_note, tmp_path, rounds, who)
    assert process.returncode == 0
    sessions = SweepFolder(tmp_path, "batch-1").sessions()
    assert len(sessions) == 3 * rounds
    for entry in sessions:
        assert entry["how"] == f"closed {entry['recipe']['number']}"
    told = Counter(entry["recipe"]["who"] for entry in sessions)
    assert told == {"one": rounds, "other": rounds, "process": rounds}


def open_and_note(root: Path, rounds: int, who: str) -> None:
    for number in range(rounds):
        folder = SweepFolder(root, "batch-1")
        recipe = {"who": who, "number": number}
        session = folder.open_session(IDENTITY, git_sha=None, created_by="me", recipe=recipe)
        folder.close_session(session, f"closed {number}")
        folder.close()


def test_the_newest_batch_of_the_same_sweep_is_found(tmp_path: Path) -> None:
    for batch in ("b-old", "b-new"):
        SweepFolder(tmp_path, batch).open_session(IDENTITY, git_sha=None, created_by="me")
    other = SweepIdentity("p", "other", "m:f")
    SweepFolder(tmp_path, "b-other").open_session(other, git_sha=None, created_by="me")
    assert find_batch(tmp_path, IDENTITY) == "b-new"
    assert find_batch(tmp_path, SweepIdentity("p", "n", "m:g")) is None
    assert find_batch(tmp_path / "nowhere", IDENTITY) is None
