"""`argus-tasks server start | stop | status | profile`: the embedded Prefect server."""

from __future__ import annotations

import argparse

from argus_tasks.cli.say import say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "server",
        help="start, stop or show the embedded Prefect server",
        description="Sweeps start a Prefect server when none is configured, and share it; it"
        " ends after the last of them. Use these commands to keep it and its UI between sweeps.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    for action, handler, what in (
        (
            "start",
            _start,
            "start the server and keep it running; prints the export line for other shells",
        ),
        ("stop", _stop, "end the server, once everything is recorded and no sweep uses it"),
        (
            "status",
            _status,
            "show its address, its login and who uses it (exit code 1: it is not running)",
        ),
        ("profile", _profile, "write the Prefect profile 'argus-tasks', for `prefect` commands"),
    ):
        actions.add_parser(action, help=what, description=what).set_defaults(handler=handler)


def _start(_args: argparse.Namespace) -> int:
    from argus_tasks.server import embedded

    with embedded.hold(notice=_say) as server:
        server.keep()
        server.wait_healthy(timeout_s=180)
        _say("it keeps running until: argus-tasks server stop")
        say(server.export_line())
    return 0


def _stop(_args: argparse.Namespace) -> int:
    from argus_tasks.server import control

    say(control.stop())
    return 0


def _status(_args: argparse.Namespace) -> int:
    from argus_tasks.server import control

    found = control.status()
    if found is None:
        say("no embedded server is running")
        return 1
    users = ", ".join(f"process {pid}" for pid in found.holders) or "nobody"
    until = "`argus-tasks server stop`" if found.kept else "10 s after its last user has gone"
    size_mb = found.database.stat().st_size / 1e6 if found.database.exists() else 0.0
    say(f"api       {found.api_url}")
    say(f"ui        {found.api_url.removesuffix('/api')}")
    say(f"login     in {found.login_file}" if found.login_file else "login     none")
    say(f"process   {found.pid}")
    say(f"used by   {users}")
    say(f"stays up  until {until}")
    say(f"database  {found.database} ({size_mb:.1f} MB)")
    say(f"log       {found.log}")
    return 0


def _profile(_args: argparse.Namespace) -> int:
    from argus_tasks.base.errors import BadInput
    from argus_tasks.server import control
    from argus_tasks.server.profile import write_profile

    found = control.status()
    if found is None:
        raise BadInput(
            "no embedded server is running; start one with `argus-tasks server start` or `make"
            " serve`."
        )
    path = write_profile(found.environment)
    _say(f"wrote the profile to {path}; it is valid while this server runs; use it as in")
    say("prefect --profile argus-tasks deployment ls")
    return 0


def _say(sentence: str) -> None:
    say(sentence, error=True)
