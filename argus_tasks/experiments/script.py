"""Runs a script as an experiment function: any program, in any language."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from argus_tasks.base import interrupts
from argus_tasks.base.errors import SkipRun
from argus_tasks.base.files import open_to_append, read_json
from argus_tasks.base.oom_kills import OomCounter
from argus_tasks.base.redact import redact_command
from argus_tasks.base.script_metrics import METRICS_FILE, read_recorded_metrics
from argus_tasks.base.server_login import environment_for_experiments
from argus_tasks.experiments.script_output import MetricLine, ScriptOutput
from argus_tasks.experiments.script_process import ScriptProcess
from argus_tasks.provenance.command_files import CommandFiles
from argus_tasks.provenance.recording.import_hooks import child_value
from argus_tasks.provenance.recording.record_journal import recording_environment
from argus_tasks.provenance.recording.recorder import Recorder
from argus_tasks.runs.context.run_context import RunContext
from argus_tasks.runs.record import causes
from argus_tasks.runs.record.layout import CONFIG_JSON, METRICS_JSON, RUN_LOG
from argus_tasks.spec.command_line import Command

SKIPPED_CODE = 77
"""The exit code of a script whose run is to be recorded as skipped, as in automake's tests."""

_NOTES_FILE = ".reported.jsonl"
# The time from the TERM to the KILL of a pruned trial.
_PRUNED_GRACE_S = 10.0


class ScriptFailed(causes.NamedFailure):
    """A script has ended with a failure."""


@dataclass(frozen=True, slots=True)
class Script:
    """An experiment function that runs a command and waits for its end.

    Attributes:
        command: the command.
        cwd: the folder that it runs in.
        grace_s: the time in seconds from the TERM of a stop to a KILL; None if the worker's keeper
            kills it.
        attached: whether it uses this process's terminal, for a debugger.
        recorder: what notes the code that it executes; None for nothing.
    """

    command: Command
    cwd: str
    grace_s: float | None = None
    attached: bool = False
    recorder: Recorder | None = None

    @interrupts.deferring()
    def __call__(self, ctx: RunContext) -> dict[str, Any] | None:
        """Run the command.

        Returns:
            Its metrics; None if it has reported none.

        Raises:
            SkipRun: if it ends with exit code 77.
            ScriptFailed: with its cause, if it ends with another code than 0.
            BadInput, ValueError, TypeError: if its metrics cannot be read.
        """
        places = {
            "run_dir": str(ctx.run_dir),
            "run_id": ctx.run_id,
            "config_file": str(ctx.run_dir / CONFIG_JSON),
        }
        words = self.command.filled(ctx.config, places)
        notes = ctx.run_dir / _NOTES_FILE
        notes.unlink(missing_ok=True)
        environment = {
            "PYTHONUNBUFFERED": "1",
            **environment_for_experiments(),
            "ARGUS_CONFIG": places["config_file"],
            "ARGUS_RUN_DIR": places["run_dir"],
            "ARGUS_RUN_ID": places["run_id"],
            "ARGUS_ATTEMPT": str(ctx.attempt),
            METRICS_FILE: str(notes),
        }
        files = None
        if self.recorder is not None:
            recording_environment(environment, child_value(self.recorder))
            files = CommandFiles(self.recorder, words, self.cwd)
        ctx.logger.info("running %s", redact_command(words))
        memory = OomCounter()
        log = open_to_append(ctx.run_dir / RUN_LOG)
        try:
            kills = memory.count()
            output = _output(ctx, log, screen=self.attached)
            with _deferred_term(enabled=not self.attached) as term_received:
                code = self._run(words, environment, ctx, output, term_received)
            output.end()
            if files is not None:
                files.ended()
            if code == -signal.SIGKILL and memory.count() > kills:
                raise _failure(causes.OUT_OF_MEMORY, output)
        finally:
            os.close(log)
            memory.close()
        if code == SKIPPED_CODE and not ctx._saw_prune:
            raise SkipRun(output.last_line() or f"exit {SKIPPED_CODE}")
        if code != 0 and not ctx._saw_stop and not ctx._saw_prune:
            raise _failure(causes.of_status(code), output)
        return _metrics(ctx.run_dir, output, notes)

    def _run(
        self,
        words: list[str],
        environment: dict[str, str],
        ctx: RunContext,
        output: ScriptOutput,
        term_received: list[int],
    ) -> int:
        def look() -> None:
            if process.is_terminating or term_received:
                return
            if ctx.stopped:
                process.terminate()
            elif ctx.should_prune():
                process.terminate(_PRUNED_GRACE_S)

        with ScriptProcess(words, self.cwd, environment, attached=self.attached) as process:
            try:
                process.follow(output.take, look, self.grace_s)
            except BaseException:  # a full disk
                process.end(self.grace_s or 0.0)
                raise
            finally:
                if process.usage is not None:
                    ctx._below.append(process.usage)
        assert process.code is not None
        return process.code


def _output(ctx: RunContext, log: int, *, screen: bool) -> ScriptOutput:
    def on_metrics(line: MetricLine) -> None:
        if line.step is not None:
            ctx.log_metric(line.step, line.metrics)
            searched = line.metrics.get(ctx._trial.metric or "")
            if searched is not None and line.step >= 0:
                ctx.report(line.step, searched)

    def on_malformed(text: str) -> None:
        ctx.logger.warning(
            "%r cannot be read; expected METRIC name=number, with more pairs and step=N if wanted",
            text,
        )

    return ScriptOutput(log, on_metrics, on_malformed, screen=screen)


@contextmanager
def _deferred_term(*, enabled: bool) -> Iterator[list[int]]:
    """In a worker: on TERM, let the script end first, then end the worker.

    The script gets the TERM as well, and may take its time to save its state. So the sweep sees how
    the attempt ended.
    """
    term_received: list[int] = []
    ours = (
        enabled
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if not ours:
        yield term_received
        return

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's
        term_received.append(number)

    signal.signal(signal.SIGTERM, note)
    try:
        yield term_received
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if term_received:
            os.kill(os.getpid(), signal.SIGTERM)


def _failure(cause: str, output: ScriptOutput) -> ScriptFailed:
    last = output.last_line()
    message = f"the script ended: {cause}" + (f": {last}" if last else "")
    name, tail = output.tail()
    evidence = f"{message}\n\nThe last lines of {name}:\n{tail}\n" if tail else f"{message}\n"
    return ScriptFailed(cause, message, evidence)


def _metrics(run_dir: Path, output: ScriptOutput, notes: Path) -> dict[str, Any] | None:
    """The metrics from the first source that exists: `metrics.json`, `METRIC` lines, a Reporter."""
    reported = read_recorded_metrics(notes)
    with suppress(OSError):
        notes.unlink(missing_ok=True)
    try:
        written = read_json(run_dir / METRICS_JSON)
    except FileNotFoundError:
        return dict(output.last) or reported or None
    except ValueError as error:
        raise ValueError(f"the script's metrics.json is no JSON: {error}") from None
    if not isinstance(written, dict):
        raise TypeError(f"the script's metrics.json holds {written!r:.80}; expected an object")
    return written
