"""A machine with GPUs: a real shared library that answers as NVIDIA's does, and who uses them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Holds its slot by a file that nobody else may have made, and says what it has found.
EXPERIMENT = """
import os, signal, time
from pathlib import Path

AT_LOAD = os.environ.get("CUDA_VISIBLE_DEVICES")

def run(ctx):
    gpu, slot = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("ARGUS_GPU_SLOT")
    mine = Path(ctx.config["marks"], f"gpu{gpu}-slot{slot}")
    os.close(os.open(mine, os.O_CREAT | os.O_EXCL))
    time.sleep(ctx.config.get("seconds", 0.05))
    mine.unlink()
    if ctx.config.get("kill") and ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"gpu": gpu, "slot": slot, "at_load": AT_LOAD, "pid": os.getpid(),
            "order": os.environ.get("CUDA_DEVICE_ORDER")}
"""


def build_library(folder: Path) -> Path:
    """The folder with the library, for LD_LIBRARY_PATH."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the fake NVML")
    source = Path(__file__).with_name("fake_nvml.c")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return folder


def start(
    library: Path, code: str, *words: str, gpus: int | None = 2, **environment: str
) -> subprocess.Popen[str]:
    """A Python process that runs the code on a machine with so many GPUs."""
    env = {**os.environ, "LD_LIBRARY_PATH": str(library), **environment}
    if gpus is not None:
        env["FAKE_GPUS"] = str(gpus)
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
