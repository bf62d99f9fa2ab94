"""Messages about events that have not reached the monitor when a process ends."""

from __future__ import annotations

from argus_tasks.delivery.background_sender import linger_s
from argus_tasks.delivery.outbox_folder import Outbox, folder_for
from argus_tasks.reporting.target import configured, server_url


def later_delivery(*, sending: bool) -> str:
    """A sentence that says when undelivered events are sent.

    Args:
        sending: whether a background process is sending them now.
    """
    later = "the next run sends them, or: argus-tasks outbox send"
    if not sending:
        return later
    return f"a background process sends them for {linger_s():g} s; after that {later}"


def undelivered_message() -> str | None:
    """One line about the events that wait on this host; None where none waits."""
    url = server_url() if configured() else None
    waiting = 0 if url is None else sum(1 for _ in Outbox(folder_for(url)).waiting_events())
    if not waiting:
        return None
    sending = url is not None and linger_s() > 0
    return f"monitor: {waiting} events wait on this disk; {later_delivery(sending=sending)}"
