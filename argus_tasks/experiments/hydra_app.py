"""Runs a Hydra app as an experiment function: each config becomes overrides."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from argus_tasks.base.errors import BadInput, MissingExtra, did_you_mean
from argus_tasks.base.extras import need
from argus_tasks.base.nested import flatten
from argus_tasks.runs.context.run_context import RunContext

HYDRA = "hydra:"
"""The beginning of an experiment's path that is a Hydra app."""

METRIC = "objective"
"""The name of the metric if the app's function returns a number."""

_FUNCTION = re.compile(r"[A-Za-z_]\w*")
_QUOTES = re.compile(r"(?<!\\)(\\*+)(')")


@dataclass(frozen=True, slots=True)
class HydraApp:
    """A file with a function that is decorated with `@hydra.main`.

    Attributes:
        file: the file, absolute.
        function: the name of the function; None if there is only one.
    """

    file: Path
    function: str | None = None

    @classmethod
    def from_path(cls, path: str, folder: Path) -> HydraApp:
        """The app of `hydra:path/to/app.py[:function]`. Raises BadInput; Hydra is not imported."""
        place, colon, function = path.removeprefix(HYDRA).partition(":")
        if not place.endswith(".py") or (colon and not _FUNCTION.fullmatch(function)):
            raise BadInput(
                f"experiment is '{path}'; expected a Hydra app such as 'hydra:path/to/app.py'."
            )
        file = (folder / Path(place).expanduser()).resolve()
        if not file.is_file():
            raise BadInput(f"experiment is '{path}', but there is no file {file}.")
        try:
            need("hydra", "hydra")
        except MissingExtra as error:
            raise BadInput(f"experiment is '{path}', but {error}") from None
        return cls(file, function or None)

    @property
    def name(self) -> str:
        """The name of a sweep that has none."""
        return self.function or self.file.stem

    @property
    def colon_function(self) -> str:
        """The end of the path that names the function; empty if there is only one."""
        return f":{self.function}" if self.function else ""

    @property
    def path(self) -> str:
        """The text that `from_path` takes, relative to the file's folder."""
        return f"{HYDRA}{self.file.name}{self.colon_function}"

    def load(self) -> HydraFunction:
        """The experiment function. Raises BadInput if the file has no such app, or several."""
        found: dict[str, _Main] = {}
        with _recording_mains(found):
            module = _module_of(self.file)
        apps = {
            name: value
            for name, value in vars(module).items()
            if getattr(value, "argus_hydra_main", None) in found
        }
        name = self.function or (next(iter(apps)) if len(apps) == 1 else None)
        if name is None:
            listed = ", ".join(apps) or "none"
            raise BadInput(
                f"{self.file} has {len(apps)} functions with @hydra.main ({listed});"
                f" expected one, or '{HYDRA}{self.file.name}:function'."
            )
        if name not in apps:
            raise BadInput(
                f"{self.file} has no function '{name}' with @hydra.main.{did_you_mean(name, apps)}"
            )
        return HydraFunction(apps[name], found[apps[name].argus_hydra_main], self.file)


@dataclass(frozen=True, slots=True)
class _Main:
    """The arguments of `@hydra.main`."""

    config_path: str | None
    config_name: str | None
    version_base: Any


class HydraFunction:
    """An experiment function that composes the run's config and calls the app with it."""

    def __init__(self, call: Callable[[Any], Any], main: _Main, file: Path) -> None:
        self._call = call
        self._main = main
        self._file = file

    def __call__(self, ctx: RunContext) -> Any:
        """Run the app.

        Returns:
            Its metrics: the dict that it returns, or a number as `objective`.

        Raises:
            Hydra's errors if the config cannot be composed; whatever the app raises.
        """
        from hydra.core.hydra_config import HydraConfig
        from hydra.core.utils import env_override
        from omegaconf import OmegaConf, open_dict

        wanted = overrides(ctx.config)
        ctx.logger.info("composing %s", wanted)
        with self._initialized():
            from hydra import compose

            config = compose(
                self._main.config_name,
                [*wanted, f"hydra.run.dir={quoted(str(ctx.run_dir))}"],
                return_hydra_config=True,
            )
        with open_dict(config):
            config.hydra.runtime.output_dir = str(ctx.run_dir)
            config.hydra.job.override_dirname = ",".join(wanted)
        known = HydraConfig.instance()
        before, known.cfg = known.cfg, None
        try:
            known.set_config(config)
            own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            noted = ctx.run_dir / ".hydra"
            noted.mkdir(exist_ok=True)
            OmegaConf.save(own, noted / "config.yaml")
            OmegaConf.save(OmegaConf.create(wanted), noted / "overrides.yaml")
            with ExitStack() as stack:
                stack.enter_context(env_override(config.hydra.job.env_set))
                if config.hydra.job.chdir:
                    stack.callback(os.chdir, os.getcwd())  # noqa: PTH109
                    os.chdir(ctx.run_dir)
                result: Any = self._call(own)
        finally:
            known.cfg = before
        return _as_metrics(result)

    @contextmanager
    def _initialized(self) -> Iterator[None]:
        import hydra
        from hydra.core.global_hydra import GlobalHydra

        name, base = self._file.stem, self._main.version_base
        path = self._main.config_path
        known = GlobalHydra.instance()
        before, known.hydra = known.hydra, None  # the sweep itself may be started by a Hydra app
        try:
            if path is None:
                hydra.initialize(config_path=None, job_name=name, version_base=base)
            elif path.startswith("pkg://"):
                module = path.removeprefix("pkg://").replace("/", ".")
                hydra.initialize_config_module(module, job_name=name, version_base=base)
            else:
                folder = str((self._file.parent / path).resolve())
                hydra.initialize_config_dir(folder, job_name=name, version_base=base)
            yield
        finally:
            known.hydra = before


def overrides(config: Mapping[str, Any]) -> list[str]:
    """A config as Hydra overrides: `optim.lr=0.1`.

    Keys may begin with `+`, `++` or `~`; a deleted key needs no value.
    """
    return [
        key if key.startswith("~") and value is None else f"{key}={override_value(value)}"
        for key, value in flatten(config).items()
    ]


def override_value(value: Any) -> str:
    """A value in the grammar of Hydra's overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{override_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(override_value(item) for item in value) + "]"
    return quoted(str(value))


def quoted(text: str) -> str:
    """A text quoted for Hydra's grammar, in which a backslash escapes only before a quote."""
    inner = _QUOTES.sub(lambda match: match[1] * 2 + "\\'", text)
    trailing = len(inner) - len(inner.rstrip("\\"))
    return "'" + inner + "\\" * trailing + "'"


def _as_metrics(result: Any) -> Any:
    if isinstance(result, bool) or not (
        hasattr(result, "__float__") and not hasattr(result, "keys")
    ):
        return result
    return {METRIC: float(result)}


@contextmanager
def _recording_mains(found: dict[str, _Main]) -> Iterator[None]:
    """A context in which `@hydra.main` records its arguments, and marks the function that it
    decorates."""
    import hydra

    original = hydra.main
    signature = inspect.signature(original)

    @wraps(original)
    def main(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        decorate = original(*args, **kwargs)
        given = signature.bind(*args, **kwargs).arguments

        def decorated(function: Any) -> Any:
            app: Any = decorate(function)
            key = f"{function.__module__}:{function.__qualname__}"
            config_path = given.get("config_path")
            found[key] = _Main(config_path, given.get("config_name"), given.get("version_base"))
            app.argus_hydra_main = key
            return app

        return decorated

    with _loading:
        hydra.main = main
        try:
            yield
        finally:
            hydra.main = original


def _module_of(file: Path) -> ModuleType:
    """The file's module, loaded as if it were run: with its own folder on `sys.path`."""
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(file.stem, None)
        raise
    return module


_loading = threading.Lock()
