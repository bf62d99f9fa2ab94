"""Finds the experiment of a sweep file, and checks that it fits the configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from argus_tasks.base.errors import BadInput
from argus_tasks.experiments.experiment import Experiment, experiment_from
from argus_tasks.experiments.hydra_app import HYDRA
from argus_tasks.spec.command_line import SCHEMES, Command
from argus_tasks.spec.modes import Mode
from argus_tasks.spec.sweep_spec import SweepSpec


def experiment_of(spec: SweepSpec) -> Experiment:
    """The experiment or command of a sweep file. Raises BadInput if there is none, or it
    is wrong."""
    if spec.command is None:
        for key in ("cwd", "shell"):
            if getattr(spec, key):
                raise spec.problem((key,), f"{key} is given without a command; expected both.")
        if spec.experiment is None:
            raise BadInput(
                "experiment is missing; expected a function or an import path"
                " such as 'package.module:function', or a command."
            )
        return experiment_from(spec.experiment, spec.folder)
    if spec.experiment is not None:
        raise spec.problem(("command",), "command is given beside experiment; expected one.")
    try:
        command = _command(spec)
        return experiment_from(command.path, spec.folder / Path(spec.cwd or "").expanduser())
    except BadInput as error:
        key = "cwd" if str(error).startswith("cwd ") else "command"
        raise spec.problem((key,), str(error)) from None


def check_fit(
    experiment: Experiment, configs: Sequence[Mapping[str, Any]], spec: SweepSpec, mode: Mode
) -> None:
    """Raise BadInput if a command names keys that configs lack, or a Hydra app would run on
    threads."""
    if mode == "thread" and (experiment.path or "").startswith(HYDRA):
        raise BadInput(
            "mode is 'thread', but Hydra has one state for the whole process;"
            " expected 'process_pool' or 'sequential'."
        )
    if configs and (experiment.path or "").startswith(SCHEMES):
        sentence = Command.from_path(str(experiment.path)).check_keys(configs)
        if sentence:
            raise spec.problem(("command",), sentence)


def _command(spec: SweepSpec) -> Command:
    if isinstance(spec.command, str):
        return Command.from_text(spec.command, shell=spec.shell)
    assert spec.command is not None
    if spec.shell:
        raise BadInput("command is a list, and shell is true; expected a text for the shell.")
    return Command.from_words(spec.command)
