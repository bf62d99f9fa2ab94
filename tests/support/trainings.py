"""Experiments that train with the callbacks of frameworks, as any script would."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from argus_tasks import RunContext
from tests.support import lit, tiny_keras


def experiment(ctx: RunContext) -> dict[str, Any]:
    """Trains with what its config names; without an end, or with a bad one, where it says so."""
    framework = ctx.config["framework"]
    if framework == "hydra":
        return script(ctx)
    if framework == "keras":
        return with_keras(ctx)
    return with_lightning(framework, ctx)


def with_lightning(package: str, ctx: RunContext) -> dict[str, Any]:
    import_module(package)
    from argus_tasks.integrations.lightning import ArgusCallback

    module = lit.module(package, fails_at=ctx.config.get("fails_at"))
    epochs = -1 if ctx.config.get("endless") else 3
    trainer = lit.trainer(package, ctx.checkpoints_dir, ArgusCallback(), max_epochs=epochs)
    trainer.fit(module, lit.loader(), lit.loader())
    return {"epochs": trainer.current_epoch, "stopped": trainer.should_stop}


def with_keras(ctx: RunContext) -> dict[str, Any]:
    from argus_tasks.integrations.keras import ArgusCallback

    model = tiny_keras.model()
    epochs = 10**9 if ctx.config.get("endless") else 3
    history = tiny_keras.fit(model, ArgusCallback(), epochs=epochs)
    return {"epochs": len(history.epoch), "stopped": model.stop_training}


def script(ctx: RunContext) -> dict[str, Any]:
    """A Hydra app with the callback."""
    app = Path(__file__).parent / "hydra_app" / "app.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(app), "lr=0.5", f"hydra.run.dir={ctx.artifacts_dir}"]
    subprocess.run(command, check=True, env=environment)
    return {"epochs": 3, "stopped": False}
