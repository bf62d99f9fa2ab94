"""What nodes and sweeps must agree on, and what is said where they do not."""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.runs.record import causes
from argus_tasks.spec.retry import RetryPolicy
from argus_tasks.workers import executor
from argus_tasks.workers.engines.engine_messages import (
    NodeSender,
    NodeSetup,
    own_libraries,
    own_versions,
)
from argus_tasks.workers.engines.node import read_setup
from argus_tasks.workers.isolation.death import TimedOut, WorkerDied
from argus_tasks.workers.isolation.protocol import Setup, dumps
from tests.support.sessions import request_for


def sender(file: Path, data: bytes, versions: tuple[str, str]) -> NodeSender:
    return NodeSender("s", str(file), hashlib.sha256(data).hexdigest(), versions, "here")


def test_a_setup_is_read_where_root_and_versions_are_the_same(tmp_path: Path) -> None:
    request = request_for([{}], lambda ctx: None, tmp_path)
    setup = Setup(request.experiment, tuple(sys.path), (), None, 0)
    told = NodeSetup(setup, {"A": "b"}, own_libraries(), 2.0, limited=False, max_runs=None)
    file = tmp_path / ".sweep" / "nodes-s"
    file.parent.mkdir()
    data = dumps(told)
    file.write_bytes(data)
    read = read_setup(sender(file, data, own_versions()), patience_s=0)
    assert (read.environment, read.setup.sys_path) == ({"A": "b"}, tuple(sys.path))
    with pytest.raises(BadInput, match="is not shared"):  # the same path, another file
        read_setup(sender(file, b"other", own_versions()), patience_s=0)


def test_another_root_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / ".sweep" / "nodes-s"
    with pytest.raises(BadInput, match=r"results_root is not shared: what here writes to") as it:
        read_setup(sender(file, b"data", own_versions()), patience_s=0)
    assert f"'{tmp_path}'" in str(it.value)


@pytest.mark.parametrize(("place", "what"), [(0, "argus-tasks"), (1, "Python")])
def test_other_versions_are_one_sentence(place: int, what: str, tmp_path: Path) -> None:
    theirs = [*own_versions()]
    theirs[place] = "9.9"
    with pytest.raises(BadInput, match=rf"has {what} .*, the sweep on here has 9\.9"):
        read_setup(sender(tmp_path / "file", b"", (theirs[0], theirs[1])))


@pytest.mark.parametrize("mode", ["dask", "ray"])
def test_a_missing_extra_is_one_sentence(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_PACKAGES", {mode: "no_such_package_here"})
    with pytest.raises(BadInput, match=rf"pip install 'argus-tasks\[{mode}\]'"):
        executor.make_engine(mode, None, 1)  # type: ignore[arg-type]


def test_an_address_needs_a_mode_with_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="address is 'tcp://h:1', but mode is 'process_pool'"):
        request_for([{}], lambda ctx: None, tmp_path, address="tcp://h:1")


def test_a_callers_mode_leaves_the_files_address_out(tmp_path: Path) -> None:
    (tmp_path / "e.py").write_text("def run(ctx): pass\n")
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "experiment: e:run\nbase: {x: 1}\nexecution: {mode: dask, address: 'tcp://h:1'}\n"
    )
    assert request_for(str(file), None, tmp_path).execution.address == "tcp://h:1"  # type: ignore[arg-type]
    local = request_for(str(file), None, tmp_path, mode="process_pool")  # type: ignore[arg-type]
    assert local.execution.address is None


@pytest.mark.parametrize("death", [WorkerDied("exit 9", "it ended", "stack"), TimedOut(5, "stack")])
def test_deaths_travel(death: WorkerDied) -> None:
    there = pickle.loads(pickle.dumps(death))
    assert (type(there), str(there)) == (type(death), str(death))
    assert (there.cause, there.stack) == (death.cause, death.stack)


def test_a_lost_node_gives_a_free_retry_unless_not_on_has_it() -> None:
    assert RetryPolicy(retry_on=("OSError",)).allows_free_retry(causes.NODE_LOST)
    assert not RetryPolicy(not_on=("node lost",)).allows_free_retry(causes.NODE_LOST)
    assert not RetryPolicy().allows_free_retry(causes.OUT_OF_MEMORY)
