"""What Prefect's recorder and persister of events write: `python -m tests.support.recorded_rows
FILE ours|prefects DATABASE`, FILE holding batches of events, DATABASE an empty one of Prefect's.
Prints every row, but for when it was written.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

TABLES = ("task_run", "task_run_state", "events", "event_resources")
WHEN_WRITTEN = {"created", "updated", "recorded"}


def main() -> None:
    batches, whose, file = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], sys.argv[3]
    os.environ["PREFECT_HOME"] = str(Path(file).parent)
    os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{file}"
    seen = asyncio.run(record(batches, whose))
    with closing(sqlite3.connect(file)) as database:
        tables = {table: rows_of(database, table) for table in TABLES}
    print(json.dumps({"tables": tables, **seen}))


def rows_of(database: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    """Its rows, in an order that does not depend on who wrote them."""
    cursor = database.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    # an event's resource gets its id from whoever writes it
    left_out = WHEN_WRITTEN | ({"id"} if table == "event_resources" else set())
    rows = [
        {name: value for name, value in zip(names, row, strict=True) if name not in left_out}
        for row in cursor
    ]
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


async def record(batches: list[list[dict[str, Any]]], whose: str) -> dict[str, Any]:
    """Give the batches to Prefect's own functions, and look at how they are written."""
    import prefect.server.api.server  # noqa: F401 - as our host does
    from prefect.server import models
    from prefect.server.database import provide_database_interface
    from prefect.server.events.schemas.events import ReceivedEvent
    from prefect.server.events.storage.database import write_events
    from prefect.server.schemas.core import Flow, FlowRun
    from prefect.server.services.task_run_recorder import record_bulk_task_run_events
    from sqlalchemy.exc import IntegrityError, SAWarning

    from argus_tasks.prefect_compat.server_rows import write_by_rows

    if whose == "ours":
        assert write_by_rows()
    db = provide_database_interface()
    async with db.session_context(begin_transaction=True) as session:
        flow = await models.flows.create_flow(session, Flow(name="sweep"))
        flow_run = FlowRun(id=UUID(int=1), flow_id=flow.id)
        await models.flow_runs.create_flow_run(session, flow_run)
    with statements() as seen, warnings.catch_warnings():
        warnings.simplefilter("error", SAWarning)
        for batch in batches:
            events = [ReceivedEvent.model_validate(event) for event in batch]
            await record_bulk_task_run_events(events)
            async with db.session_context() as session:
                await write_events(session=session, events=events)
                await session.commit()
    events = [ReceivedEvent.model_validate(event) for event in batches[0]]
    rows = [event.as_database_row() for event in events]
    refused = 0
    for begin_transaction in (False, True):  # the last row's id is taken: none may be written
        for row in rows[:-1]:
            row["id"] = os.urandom(16).hex()
        async with db.session_context(begin_transaction=begin_transaction) as session:
            try:
                await session.execute(db.queries.insert(db.Event).values(rows))
            except IntegrityError:
                refused += 1
    rows[-1]["id"] = os.urandom(16).hex()
    insert = db.queries.insert(db.Event).values(rows).returning(db.Event.id)
    with suppress(InterruptedError):
        async with db.session_context(begin_transaction=True) as session:
            returned = len((await session.scalars(insert)).all())
            raise InterruptedError  # the tables are as before
    return {"refused": refused, "returned": returned, "most_values": max(seen)}


@contextmanager
def statements() -> Iterator[list[int]]:
    """How many values the texts of the INSERTs have that are run inside."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    seen: list[int] = []

    def look(*told: Any) -> None:
        if told[2].startswith("INSERT INTO task_run "):
            seen.append(told[2].count("(:") + told[2].count(", :") + told[2].count("?"))

    event.listen(Engine, "before_cursor_execute", look)
    yield seen
    event.remove(Engine, "before_cursor_execute", look)


if __name__ == "__main__":
    main()
