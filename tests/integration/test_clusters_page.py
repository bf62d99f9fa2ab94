"""docs/clusters.md: its scripts and manifests, as far as a machine without Slurm can check them."""

from __future__ import annotations

import ast
import inspect
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from argus_tasks.flows.sweep import sweep

PAGE = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_the_slurm_script_runs_where_srun_is_a_plain_call(tmp_path: Path, served: str) -> None:
    (script,) = [block for block in blocks("sh") if "#SBATCH" in block]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {"srun": 'exec "$@"', "hostname": "echo 127.0.0.1"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f'PATH="{tools}:{Path(sys.executable).parent}:$PATH"\n')
    (tmp_path / "experiment.py").write_text("def run(ctx):\n    return {'x': ctx.config['x']}\n")
    (tmp_path / "sweep.yaml").write_text("experiment: experiment:run\ngrid: {x: [1, 2, 3]}\n")
    (tmp_path / "job.sh").write_text(script.replace("8786", port))
    job = subprocess.Popen(
        ["bash", "job.sh"],
        cwd=tmp_path,
        env={**os.environ, "SLURM_CPUS_PER_TASK": "2", "PREFECT_API_URL": served},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        job.wait(100)
    finally:
        os.killpg(job.pid, signal.SIGKILL)  # as Slurm does with what a job has left
        said = job.communicate()[0].decode()
    assert job.returncode == 0, said
    assert "3 of 3 succeeded" in said


def test_the_python_script_calls_what_there_is() -> None:
    (script,) = blocks("python")
    calls = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Call)]
    (call,) = [each for each in calls if getattr(each.func, "id", "") == "sweep_flow"]
    assert {keyword.arg for keyword in call.keywords} <= set(inspect.signature(sweep.fn).parameters)


def test_the_manifests_name_commands_options_and_parameters_that_exist() -> None:
    documents: list[Any] = [each for block in blocks("yaml") for each in yaml.safe_load_all(block)]
    deployments = [each for each in documents if each.get("kind") == "Deployment"]
    assert [each["metadata"]["name"] for each in deployments] == ["dask-scheduler", "dask-worker"]
    for each in deployments:
        spec = each["spec"]["template"]["spec"]
        assert (
            each["spec"]["selector"]["matchLabels"]
            == each["spec"]["template"]["metadata"]["labels"]
        )
        (container,) = spec["containers"]
        program, command, *words = container["command"]
        done = subprocess.run(
            [sys.executable, "-m", program, command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        for word in words:
            assert not word.startswith("--") or re.search(rf"{word}\b", done.stdout), word
    (prefect,) = [each for each in documents if "deployments" in each]
    for deployment in prefect["deployments"]:
        assert set(deployment["parameters"]) <= set(inspect.signature(sweep.fn).parameters)
