"""The worker process: a warm Python that runs one experiment after another.

Started as its own session by `pool`, with one end of a socket. It imports no Prefect and talks to
nobody but its parent; it ends when the parent says so, closes the socket, or dies.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from typing import NoReturn

from argus_tasks.runs.logs import captured_descriptors
from argus_tasks.runs.trackers import build_trackers
from argus_tasks.sweep.attempt import Assignment, outcome_of_exception, run_attempt
from argus_tasks.sweep.isolation.protocol import Closed, Ready, Setup, SetupFailed, receive, send
from argus_tasks.sweep.isolation.stopflag import StopFlag

_PR_SET_PDEATHSIG = 1


def main(descriptor: int, parent: int) -> NoReturn:
    """Serve the parent until it has had enough."""
    _die_with(parent)
    # Ctrl-C is the parent's to understand; a TERM ends the worker at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    code = 0
    try:
        serve(sock, receive(sock))
    except Closed:
        pass
    except BaseException:  # noqa: BLE001 - the parent sees the end of the socket; stderr says why
        traceback.print_exc()
        code = 1
    # Threads and exit handlers of the experiment must not keep a finished worker alive.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve(sock: socket.socket, setup: Setup) -> None:
    """Run what the parent sends, one at a time, until it sends nothing more."""
    sys.path[:] = setup.sys_path
    stop = StopFlag(setup.stop_descriptor)
    try:
        function = setup.experiment.load()
        live = pickle.loads(setup.live_trackers) if setup.live_trackers else ()
        trackers = build_trackers(setup.tracker_specs, live)
    except Exception as error:  # noqa: BLE001 - a module may raise anything when imported
        send(sock, SetupFailed(type(error).__name__, str(error), traceback.format_exc()))
        return
    send(sock, Ready())
    while True:
        assignment: Assignment = receive(sock)
        try:
            outcome = run_attempt(
                assignment,
                function,
                trackers=trackers,
                stop=stop,
                capture=captured_descriptors,
            )
        except (KeyboardInterrupt, SystemExit) as error:
            # Raised by the experiment: nobody interrupted this process. The record says failed.
            outcome = outcome_of_exception(error, 0.0)
        send(sock, outcome)


def _die_with(parent: int) -> None:
    """End this process when the parent dies: by the kernel's word on Linux, else by watching."""
    system: str = sys.platform
    if system == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        return

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="argus-parent-watch", daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
