"""The hashes of a run's files are those of what lies there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from argus_tasks.runs.record.hashes import hash_of, hashes_of
from argus_tasks.runs.record.layout import CONFIG_JSON, METRICS_JSON, RUN_JSON, SUCCEEDED
from argus_tasks.runs.record.metadata import RunMetadata
from argus_tasks.runs.record.run_record import Ending, RunKey, RunRecord


def test_what_the_record_says_of_its_last_words_is_so(tmp_path: Path) -> None:
    run_dir = str(tmp_path / "run")
    record = RunRecord(RunKey("run", run_dir, "job", "batch", None), RunMetadata(tags=["ö", '"']))
    record.open({"x": 1})
    record.running()
    record.metrics({"loss": float("nan"), "näme": 0.5, "deep": {"a": [1, None, True]}})
    record.close(Ending(SUCCEEDED), 1.0)

    read = hashes_of(run_dir)
    assert set(record.hashes) == {METRICS_JSON, RUN_JSON}
    assert record.hashes.items() <= read.items()
    assert hashes_of(run_dir, record.hashes) == read


def test_what_an_experiment_has_written_over_is_read(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    record = RunRecord(RunKey("run", str(run_dir), "job", "batch", None), RunMetadata())
    record.open({"x": 1})
    (run_dir / CONFIG_JSON).write_text("a model's own")
    record.close(Ending(SUCCEEDED), 1.0)

    found = hashes_of(str(run_dir), record.hashes)
    assert found[CONFIG_JSON] == hashlib.sha256(b"a model's own").hexdigest()


def test_a_file_larger_than_one_read_and_its_beginning(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    file = tmp_path / "run.log"
    file.write_bytes(data)
    for size in (0, 1, 65536, 200_000):
        assert hash_of(str(file), size) == (hashlib.sha256(data[:size]).hexdigest(), size)
    assert hash_of(str(file)) == (hashlib.sha256(data).hexdigest(), len(data))
