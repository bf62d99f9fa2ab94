"""Which GPUs there are: NVML's word, CUDA_VISIBLE_DEVICES', the sweep file's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argus_tasks.base.errors import BadInput
from argus_tasks.base.nvml import gpu_uuids
from argus_tasks.spec import gpus as module
from argus_tasks.spec.gpus import usable_gpus
from tests.support import experiments
from tests.support.fake_gpus import build_library, start
from tests.support.sessions import request_for

UUIDS = ("GPU-aa", "GPU-bb", "GPU-cc")


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpu_uuids", lambda: UUIDS)


def tokens(gpus: Any, **environ: str) -> list[tuple[str, str]]:
    return [(gpu.token, gpu.uuid) for gpu in usable_gpus(gpus, environ)]


@pytest.mark.usefixtures("three")
def test_auto_and_numbers() -> None:
    assert tokens("auto") == [("0", "GPU-aa"), ("1", "GPU-bb"), ("2", "GPU-cc")]
    assert tokens((2, 0)) == [("2", "GPU-cc"), ("0", "GPU-aa")]
    assert tokens(None) == tokens(0) == []
    (gpu,) = usable_gpus((1,), {})
    assert gpu.environment() == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@pytest.mark.usefixtures("three")
def test_what_is_visible_already_is_what_there_is() -> None:
    assert tokens("auto", CUDA_VISIBLE_DEVICES="2,1") == [("2", "GPU-cc"), ("1", "GPU-bb")]
    assert tokens((1,), CUDA_VISIBLE_DEVICES="2, 0") == [("0", "GPU-aa")]
    assert tokens("auto", CUDA_VISIBLE_DEVICES="GPU-b,MIG-1") == [
        ("GPU-b", "GPU-bb"),
        ("MIG-1", "MIG-1"),
    ]
    assert tokens("auto", CUDA_VISIBLE_DEVICES="1,-1,2") == [("1", "GPU-bb")]
    (gpu,) = usable_gpus("auto", {"CUDA_VISIBLE_DEVICES": "2"})
    assert gpu.environment() == {"CUDA_VISIBLE_DEVICES": "2"}, "the user's order of devices stays"


@pytest.mark.usefixtures("three")
def test_a_number_too_many() -> None:
    with pytest.raises(BadInput) as caught:
        tokens((0, 3))
    assert str(caught.value) == (
        "gpus is [0, 3]; expected numbers of existing GPUs: there are 3, counted from 0."
    )
    with pytest.raises(BadInput, match="there are 1, counted from 0"):
        tokens((1,), CUDA_VISIBLE_DEVICES="2")


def test_without_nvml(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "gpu_uuids", lambda: None)
    assert tokens("auto") == []
    assert "no GPU was found" in caplog.text
    assert tokens((0, 2)) == [("0", "0"), ("2", "2")]
    assert "NVML does not answer" in caplog.text
    assert tokens("auto", CUDA_VISIBLE_DEVICES="1") == [("1", "1")]


@pytest.mark.parametrize("wrong", [1, 2, -1, True, "all", "0,1", [], [0, 0], [-1], [True], ["0"]])
def test_what_is_no_choice_of_gpus(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^gpus is "):
        request_for([{}], experiments.noop, tmp_path, gpus=wrong)


def test_gpus_need_worker_processes(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="but mode 'thread' has no worker processes"):
        request_for([{}], experiments.noop, tmp_path, gpus="auto", mode="thread")
    with pytest.raises(BadInput, match=r"^slots_per_gpu is 0"):
        request_for([{}], experiments.noop, tmp_path, gpus="auto", slots_per_gpu=0)


@pytest.mark.usefixtures("three")
def test_a_worker_for_each_slot(tmp_path: Path) -> None:
    auto = {"gpus": (0, 2), "slots_per_gpu": 2, "workers": None}
    assert request_for([{}], experiments.noop, tmp_path, **auto).workers == 4
    assert request_for([{}], experiments.noop, tmp_path, **auto | {"workers": 3}).workers == 3


def test_nvmls_own_library_is_asked(tmp_path: Path) -> None:
    library = build_library(tmp_path)
    code = "import json; from argus_tasks.base.nvml import *; print(json.dumps(gpu_uuids()))"
    for count, answer in ((3, ["GPU-fake-0", "GPU-fake-1", "GPU-fake-2"]), (0, []), (None, None)):
        with start(library, code, gpus=count) as process:
            out, err = process.communicate(timeout=60)
            assert json.loads(out) == answer, err


def test_a_machine_without_the_library_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argus_tasks.base.nvml._LIBRARY", "libnvidia-ml-that-is-not-there.so.1")
    assert gpu_uuids() is None
