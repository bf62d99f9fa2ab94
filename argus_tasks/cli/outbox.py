"""`argus-tasks outbox`: the events that wait for the monitor."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from argus_tasks.cli.say import say

if TYPE_CHECKING:
    from argus_tasks.delivery.outbox_folder import Outbox


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "outbox",
        help="events that wait for the monitor: list, send, retry, show, drop",
        description="Without an action, show the events that wait, for which server, since when"
        " and why; and for each batch: emitted = delivered + waiting + set aside + dropped.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=_list)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action")
    send = actions.add_parser("send", help="send the waiting events now")
    send.add_argument(
        "--all", action="store_true", help="send every outbox, each to its own server"
    )
    send.set_defaults(handler=_send)
    retry = actions.add_parser("retry", help="send again the events that were set aside")
    retry.add_argument(
        "event_ids", nargs="*", metavar="EVENT_ID", help="only these events (default: all)"
    )
    retry.set_defaults(handler=_retry)
    for action in (send, retry):
        action.add_argument("--url", help="the server (else ARGUS_URL or configs/monitor.yaml)")
        action.add_argument(
            "--timeout",
            type=float,
            default=60.0,
            metavar="S",
            help="give up after this many seconds (default: 60)",
        )
    show = actions.add_parser("show", help="print one event, where it is and why")
    show.add_argument("event_id")
    show.set_defaults(handler=_show)
    drop = actions.add_parser("drop", help="delete events that were set aside, or that wait")
    drop.add_argument(
        "event_ids", nargs="*", metavar="EVENT_ID", help="only these events (default: all)"
    )
    drop.add_argument(
        "--reason", required=True, help="the reason, which is kept in the batch's counts"
    )
    drop.add_argument("--waiting", action="store_true", help="also delete all events that wait")
    drop.add_argument("--url", help="only the outbox of this server")
    drop.set_defaults(handler=_drop)


def _list(args: argparse.Namespace) -> int:
    from argus_tasks.delivery.outbox_folder import outboxes

    pages = [_page(outbox) for outbox in outboxes()]
    if args.json:
        say(json.dumps(pages, indent=2))
        return 0
    if not pages:
        say("no outbox: no event was ever emitted on this host")
    for page in pages:
        _print_page(page)
    return 0


def _page(outbox: Outbox) -> dict[str, Any]:
    from argus_tasks.delivery.outbox_counts import accounts
    from argus_tasks.delivery.sender_state import read_state
    from argus_tasks.delivery.uploads import queued

    oldest = min((_timestamp(line) for _segment, line in outbox.waiting_events()), default=None)
    sender = read_state(outbox.folder)
    counted = accounts(outbox)
    return {
        "server": outbox.url,
        "folder": str(outbox.folder),
        "bytes": outbox.size(),
        "limit_bytes": outbox.limit_bytes,
        "waiting": sum(account.waiting for account in counted),
        "waiting_since": oldest,
        "uploads_waiting": len(queued(outbox)),
        "sender": {key: getattr(sender, key, None) for key in ("state", "reason", "since", "pid")},
        "set_aside": [
            {key: one.get(key) for key in ("event_id", "reason", "status")}
            for one in outbox.set_aside.all()
        ],
        "batches": [vars(account) | {"missing": account.missing} for account in counted],
    }


def _timestamp(line: bytes) -> str:
    event = _event(line)
    return str(event.get("timestamp", "")) if isinstance(event, dict) else ""


def _event(line: bytes) -> Any:
    """An event's line as JSON; a damaged line as text."""
    try:
        return json.loads(line)
    except ValueError:
        return line.decode("utf-8", "backslashreplace")


def _print_page(page: dict[str, Any]) -> None:
    say(f"server    {page['server'] or '(none: waits for `outbox send --url URL`)'}")
    say(f"folder    {page['folder']} ({page['bytes'] / 1e6:.1f} MB)")
    since = f", the oldest from {page['waiting_since']}" if page["waiting_since"] else ""
    say(f"waiting   {page['waiting']} events{since}; {page['uploads_waiting']} uploads")
    sender = page["sender"]
    if sender.get("reason"):
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(sender.get("since") or 0))
        say(f"why       {sender['reason']} (since {at})")
    for one in page["set_aside"]:
        say(f"set aside {one['event_id']}: {one['reason']}")
    for batch in page["batches"]:
        dropped = ", ".join(f"{count} {reason}" for reason, count in batch["dropped"].items())
        say(
            f"batch     {batch['batch_id']}: {batch['emitted']} emitted = {batch['delivered']}"
            f" delivered + {batch['waiting']} waiting + {batch['set_aside']} set aside"
            f" + {sum(batch['dropped'].values())} dropped{f' ({dropped})' if dropped else ''}"
        )
        if batch["unordered"]:
            say(
                f"          {batch['unordered']} of them were sent before events that should come"
                " first"
            )
        if batch["missing"]:
            say(f"          the sum does not match: {batch['missing']} events are missing")
    say()


def _send(args: argparse.Namespace) -> int:
    from argus_tasks.base.errors import BadInput
    from argus_tasks.delivery.outbox_folder import NO_SERVER, folder_for, outboxes
    from argus_tasks.reporting.target import server_url

    url = server_url(args.url)
    mine = {folder_for(url).name, NO_SERVER} if url else set()
    jobs = [
        (outbox, outbox.url or url)
        for outbox in outboxes()
        if outbox.folder.name in mine or (args.all and outbox.url)
    ]
    if not jobs and url is None:
        raise BadInput("no server: give --url or set ARGUS_URL (or --all: each to its own).")
    left = 0
    for outbox, server in jobs:
        if server is not None:
            left += _send_one(outbox, server, args.timeout, args.url)
    return 1 if left else 0


def _send_one(outbox: Outbox, url: str, timeout_s: float, named: str | None) -> int:
    from argus_tasks.delivery.sender import Sender
    from argus_tasks.delivery.transport import HttpTransport
    from argus_tasks.delivery.uploads import queued
    from argus_tasks.reporting.target import token_source

    before = sum(1 for _ in outbox.waiting_events())
    token = token_source(url=url, named=named)
    outbox.create()
    sender = Sender(outbox, lambda: HttpTransport(url, token))
    sender.start()
    try:
        sender.drain_all(timeout_s)
        state = sender.state
    finally:
        sender.stop(5.0)
    left = sum(1 for _ in outbox.waiting_events()) + len(queued(outbox))
    say(f"{url}: {before} events waited, {left} are left")
    if left and state.reason:
        say(f"argus-tasks: {state.reason}", error=True)
    return left


def _retry(args: argparse.Namespace) -> int:
    from argus_tasks.base.errors import BadInput
    from argus_tasks.delivery.manual_changes import send_again
    from argus_tasks.delivery.outbox_folder import Outbox, folder_for
    from argus_tasks.reporting.target import server_url

    url = server_url(args.url)
    if url is None:
        raise BadInput("no server: give --url or set ARGUS_URL.")
    outbox = Outbox(folder_for(url))
    waiting = send_again(outbox, set(args.event_ids) or None)
    say(f"{waiting} events that were set aside wait again")
    if args.event_ids and not waiting:
        return 1
    return 1 if waiting and _send_one(outbox, url, args.timeout, args.url) else 0


def _show(args: argparse.Namespace) -> int:
    from argus_tasks.base.errors import BadInput
    from argus_tasks.delivery.events import event_id_of
    from argus_tasks.delivery.outbox_folder import outboxes

    for outbox in outboxes():
        for one in outbox.set_aside.all():
            if one.get("event_id") == args.event_id:
                say(json.dumps({"where": "set aside", "server": outbox.url, **one}, indent=2))
                return 0
        for segment, line in outbox.waiting_events():
            if event_id_of(line) == args.event_id:
                event = _event(line)
                found = {"where": "waiting", "server": outbox.url, "segment": segment}
                say(json.dumps({**found, "event": event}, indent=2))
                return 0
    raise BadInput(
        f"event {args.event_id!r} is neither waiting nor set aside; delivered events are on the"
        " server only."
    )


def _drop(args: argparse.Namespace) -> int:
    from argus_tasks.base.errors import BadInput
    from argus_tasks.delivery.manual_changes import give_up_waiting
    from argus_tasks.delivery.outbox_folder import folder_for, outboxes

    if args.waiting and args.event_ids:
        raise BadInput("--waiting drops everything that waits; it takes no EVENT_ID.")
    wanted = set(args.event_ids) or None
    dropped = 0
    for outbox in outboxes():
        if args.url and outbox.folder.name != folder_for(args.url).name:
            continue
        dropped += outbox.set_aside.drop(wanted, args.reason)
        if args.waiting:
            dropped += give_up_waiting(outbox, args.reason)
    say(f"dropped {dropped} of the events: {args.reason}")
    return 0 if dropped or not wanted else 1
