"""The worker process: loads the experiment once, and runs one attempt after the other.

The keeper forks it, in a session of its own, with one end of a socket. It imports no Prefect, and
communicates with the sweep's process alone. It ends when that process closes the connection or
dies.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

from argus_tasks.base.process_tree import die_with, inherit_orphans
from argus_tasks.runs.context.run_log import StandardStreams
from argus_tasks.runs.context.trackers import build_trackers
from argus_tasks.workers.attempts.attempt import outcome_of_exception, run_attempt
from argus_tasks.workers.attempts.messages import Assignment, Outcome
from argus_tasks.workers.attempts.reported_attempt import close_reporting, preload_reporting
from argus_tasks.workers.attempts.stop_flag import StopFlag
from argus_tasks.workers.isolation.evidence import Evidence
from argus_tasks.workers.isolation.fork import attempt_in_fork, can_fork, ignore_term
from argus_tasks.workers.isolation.protocol import (
    Closed,
    Outdated,
    Ready,
    Setup,
    SetupFailed,
    receive,
    send,
    send_bytes,
)


def main(channel: socket.socket, keeper: int, evidence: Evidence) -> NoReturn:
    """Serve the sweep's process until it closes the connection."""
    os.setsid()
    die_with(keeper)
    inherit_orphans()
    # The parent handles Ctrl-C; a TERM ends the worker at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    evidence.record_faults()
    code = 0
    try:
        serve(channel, receive(channel), evidence)
    except Closed:
        pass
    except BaseException:  # noqa: BLE001 - the exit code is for the parent, the stack on stderr for people
        traceback.print_exc()
        code = 1
    close_reporting()
    # Threads and exit handlers of the experiment must not keep a finished worker alive.
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def serve(channel: socket.socket, setup: Setup, evidence: Evidence) -> None:
    """Run the attempts that the parent sends, one at a time."""
    os.environ.update(setup.environment)  # before the experiment's module looks at it
    os.nice(setup.nice)
    sys.path[:] = setup.sys_path
    stop = StopFlag(setup.stop_descriptor)
    try:
        if setup.cwd is not None:
            os.chdir(setup.cwd)
        code = setup.code.in_worker() if setup.code is not None else None
        function = setup.experiment.load()
        live = pickle.loads(setup.live_trackers) if setup.live_trackers else ()
        trackers = build_trackers(setup.tracker_specs, live)
    except Exception as error:  # noqa: BLE001 - a module may raise anything when imported
        send(channel, SetupFailed(type(error).__name__, str(error), traceback.format_exc()))
        return
    preload_reporting()
    streams = StandardStreams()
    forks = setup.fresh and can_fork()
    if forks:
        ignore_term()

    def run(assignment: Assignment) -> Outcome:
        evidence.attempt_starts()
        try:
            return run_attempt(
                assignment,
                function,
                trackers=trackers,
                stop=stop,
                capture=streams.captured,
                code=code,
            )
        except BaseException as error:  # noqa: BLE001 - nobody interrupted this process
            # Raised by the experiment: a SystemExit, a KeyboardInterrupt. The record says failed.
            return outcome_of_exception(error, 0.0)

    prepared = False
    send(channel, Ready(forks))
    while True:
        assignment: Assignment = receive(channel)
        if code is not None and not prepared:
            code.prepare()  # now, for nothing is written before the sweep has started
        prepared = True
        if not forks:
            send(channel, run(assignment))
            continue
        if code is not None and code.stale():
            send(channel, Outdated())
            return
        answer = attempt_in_fork(lambda: run(assignment), channel, evidence)  # noqa: B023 - at once
        if isinstance(answer, bytes):
            send_bytes(channel, answer)
        else:
            send(channel, answer)
