"""Claims: one wins; the dead are known by host, boot, pid and start time, or by a clock."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.processes import this_process
from argus_tasks.runs.ledger.claims import (
    DEAD_AFTER_S,
    Claim,
    Claims,
    claims_folder,
    read_claim,
    read_claims,
    release,
    seems_dead,
)
from tests.support.poor_disk import poor_disk

DIGEST = "d" * 64
ELSEWHERE = {**this_process(), "host": "elsewhere"}


def opened(root: Path, owner: dict[str, Any] | None = None) -> Claims:
    claims = Claims(root, "batch-1", owner=owner)
    claims.open()
    return claims


def age(path: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def claim_of_a_dead_process(root: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from argus_tasks.runs.ledger.claims import Claims\n"
        f"c = Claims(Path({str(root)!r}), 'batch-0'); c.open()\n"
        f"assert c.take({DIGEST!r}, 'run-0'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=90)


def test_one_takes_it_and_the_next_after_it_was_given_back(results_root: Path) -> None:
    first, second = opened(results_root), opened(results_root)
    claim = first.take(DIGEST, "run-1")
    assert claim is not None
    assert second.take(DIGEST, "run-2") is None
    said = json.loads(Path(claim.path).read_text())
    assert {said[key] for key in ("batch_id", "run_id", "digest")} == {"batch-1", "run-1", DIGEST}
    assert {key: said[key] for key in this_process()} == this_process()
    first.give_back(DIGEST)
    assert second.take(DIGEST, "run-2") is not None
    assert [one.run_id for one in read_claims(results_root)] == ["run-2"]
    second.close()
    first.close()
    assert list(Path(claims_folder(results_root)).iterdir()) == []


def test_a_dead_process_s_claim_is_taken_over(results_root: Path) -> None:
    claim_of_a_dead_process(results_root)
    assert [seems_dead(one) for one in read_claims(results_root)] == [True]
    claims = opened(results_root)
    assert claims.take(DIGEST, "run-1") is not None
    taken_over = claims.taken_over(DIGEST)
    assert taken_over is not None
    assert taken_over.run_id == "run-0"


def test_what_this_process_left_open_is_dead(results_root: Path) -> None:
    left = opened(results_root)
    assert left.take(DIGEST, "run-0") is not None
    other = opened(results_root)
    assert other.take(DIGEST, "run-1") is None
    left._mine.clear()
    left.close()
    assert other.take(DIGEST, "run-1") is not None


@pytest.mark.parametrize("changed", [{"boot_id": "another"}, {"pid_started": "0"}])
def test_another_boot_or_start_time_is_dead(results_root: Path, changed: dict[str, str]) -> None:
    # pid 1 lives; the start time tells that it is not the one that claimed
    owner = {**this_process(), "pid": 1, **changed}
    assert opened(results_root, owner).take(DIGEST, "run-0") is not None
    assert opened(results_root).take(DIGEST, "run-1") is not None


def test_another_pid_namespace_is_another_host(results_root: Path) -> None:
    """Two containers can have one host name and one boot: a pid of the other says nothing."""
    owner = {**this_process(), "pid_namespace": "pid:[1]", "pid": 2**22 + 1}
    claim = opened(results_root, owner).take(DIGEST, "run-0")
    assert claim is not None
    here = opened(results_root)
    assert not seems_dead(claim)
    assert here.take(DIGEST, "run-1") is None
    age(claim.path, DEAD_AFTER_S + 20)
    assert seems_dead(claim)
    assert here.take(DIGEST, "run-1") is not None


def test_a_claim_of_an_earlier_version_says_no_pid_namespace(results_root: Path) -> None:
    owner = {**this_process(), "pid_namespace": None}
    assert opened(results_root, owner).take(DIGEST, "run-0") is not None
    assert opened(results_root).take(DIGEST, "run-1") is None, "its process is this one"
    dead = {**owner, "pid": 2**22 + 1}
    assert opened(results_root, dead).take("e" * 64, "run-0") is not None
    assert opened(results_root).take("e" * 64, "run-1") is not None


@pytest.mark.parametrize("word", ["batch_id", "run_id"])
@pytest.mark.parametrize("path", ["../../elsewhere", "/elsewhere", "..", ""])
def test_a_claim_with_a_path_for_an_id_is_nobody_s(
    results_root: Path, word: str, path: str
) -> None:
    claim = opened(results_root).take(DIGEST, "run-0")
    assert claim is not None
    said = json.loads(Path(claim.path).read_text())
    Path(claim.path).write_text(json.dumps({**said, word: path}))
    assert read_claim(claim.path) == Claim(claim.path, DIGEST, "", "", "", {})


def test_another_host_s_claim_is_dead_after_a_quarter_of_an_hour(results_root: Path) -> None:
    claim = opened(results_root, ELSEWHERE).take(DIGEST, "run-0")
    assert claim is not None
    here = opened(results_root)
    age(claim.path, DEAD_AFTER_S - 20)
    assert here.take(DIGEST, "run-1") is None
    age(claim.path, DEAD_AFTER_S + 20)
    assert here.take(DIGEST, "run-1") is not None


def test_renewing_keeps_it_alive_and_tells_what_was_lost(results_root: Path) -> None:
    there = opened(results_root, ELSEWHERE)
    claim = there.take(DIGEST, "run-0")
    assert claim is not None
    age(claim.path, DEAD_AFTER_S + 20)
    assert there.renew() == []
    here = opened(results_root)
    assert here.take(DIGEST, "run-1") is None
    age(claim.path, DEAD_AFTER_S + 20)
    assert here.take(DIGEST, "run-1") is not None
    assert there.renew() == [claim]
    assert not claim.is_current()
    there.give_back(DIGEST)
    now = read_claim(claim.path)
    assert now is not None
    assert now.run_id == "run-1", "what another has taken over is not taken away"


def test_release_frees_one_by_hand(results_root: Path) -> None:
    claim = opened(results_root, ELSEWHERE).take(DIGEST, "run-0")
    assert claim is not None
    release(claim)
    assert opened(results_root).take(DIGEST, "run-1") is not None


def test_what_others_are_about_to_put_in_place_is_left_until_it_is_old(results_root: Path) -> None:
    opened(results_root).close()
    folder = Path(claims_folder(results_root))
    beside = [folder / name for name in (".claimant-0123456789ab", ".dead-claimant-0123456789ab")]
    for path in beside:
        path.write_text("{}")
        age(str(path), DEAD_AFTER_S - 20)
    opened(results_root).close()
    assert [path.exists() for path in beside] == [True, True]
    for path in beside:
        age(str(path), DEAD_AFTER_S + 20)
    opened(results_root).close()
    assert [path.exists() for path in beside] == [False, False]


def test_a_torn_claim_is_nobody_s_until_it_is_old(results_root: Path) -> None:
    claims = opened(results_root)
    path = f"{claims_folder(results_root)}/{DIGEST}"
    Path(path).write_text('{"host": ')
    assert claims.take(DIGEST, "run-1") is None
    age(path, DEAD_AFTER_S + 20)
    assert claims.take(DIGEST, "run-1") is not None


def refused(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_without_links_it_is_said_once(
    results_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "link", refused)
    claims = opened(results_root)
    for digest in "abc":
        assert claims.take(digest * 64, "run-1") is not None
    assert [record.getMessage() for record in caplog.records] == [
        f"{claims_folder(results_root)} has no hard links: claims are made without"
    ]
    assert opened(results_root).take("a" * 64, "run-2") is None
    claims.close()
    assert list(Path(claims_folder(results_root)).iterdir()) == []


def test_a_claim_that_finds_no_room_without_links_leaves_nothing(
    results_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refused)
    claims = opened(results_root)
    assert claims.take("a" * 64, "run-1") is not None
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            claims.take(DIGEST, "run-1")
    assert opened(results_root).take(DIGEST, "run-2") is not None


RACE = """
import sys
from pathlib import Path
from argus_tasks.runs.ledger.claims import Claims
claims = Claims(Path(sys.argv[1]), "batch-1")
claims.open()
print("ready", flush=True)
sys.stdin.readline()
print(sum(claims.take(f"{digest:064x}", "run-1") is not None for digest in range(200)), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("links", [True, False])
def test_many_processes_and_threads_at_once(
    results_root: Path, tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the claims are a dead process's; each is taken exactly once all the same, on a file
    system without hard links as well."""
    environment = os.environ | ({} if links else poor_disk(tmp_path, no_links=results_root))
    if not links:
        monkeypatch.setattr(os, "link", refused)
    dead = Claims(results_root, "batch-0", owner={**this_process(), "pid": 2**22 + 1})
    dead.open()
    for digest in range(0, 200, 2):
        assert dead.take(f"{digest:064x}", "run-dead") is not None
    command = [sys.executable, "-c", RACE, str(results_root)]
    racers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    claims = opened(results_root)
    with ThreadPoolExecutor(3) as threads:
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        digests = [f"{digest:064x}" for digest in range(200)]
        for _ in threads.map(lambda digest: claims.take(digest, "run-0"), digests * 2):
            pass
    taken = sum(claims.mine(digest) is not None for digest in digests)
    for racer in racers:  # none may end before all have said how many they have
        assert racer.stdout is not None
        taken += int(racer.stdout.readline())
    for racer in racers:
        racer.communicate("end\n", timeout=90)
    assert taken == 200
