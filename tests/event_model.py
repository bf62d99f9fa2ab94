"""Our own model of the event contract 1.1, from its rules: what the tests hold events to."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

EventType = Literal[
    "batch_start",
    "batch_done",
    "batch_failed",
    "job_start",
    "job_epoch",
    "job_done",
    "job_failed",
    "resource_snapshot",
    "log_line",
    "env_snapshot",
]
NEEDS_JOB = {"job_start", "job_epoch", "job_done", "job_failed", "log_line"}


class SourceModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    project: str
    host: str = ""
    user: str = ""
    commit: str = ""
    command: str = ""


class EventModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    event_id: str
    schema_version: Literal["1.1"]
    event_type: EventType
    timestamp: str
    batch_id: Annotated[str, Field(min_length=1, max_length=128)]
    job_id: Annotated[str, Field(max_length=256)] | None = None
    source: SourceModel
    data: dict[str, Any] = {}

    @field_validator("event_id")
    @classmethod
    def _uuid(cls, value: str) -> str:
        assert str(UUID(value)) == value
        return value

    @field_validator("timestamp")
    @classmethod
    def _utc(cls, value: str) -> str:
        moment = datetime.fromisoformat(value)
        assert value.endswith("Z")
        assert moment.utcoffset() == timedelta(0)
        return value

    @model_validator(mode="after")
    def _by_type(self) -> EventModel:
        if self.event_type in NEEDS_JOB and not self.job_id:
            raise ValueError(f"{self.event_type} needs a job_id")
        if self.event_type == "job_epoch" and type(self.data.get("epoch")) is not int:
            raise ValueError("epoch must be an integer")
        if self.event_type == "log_line" and not isinstance(self.data.get("line"), str):
            raise ValueError("line must be text")
        return self


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def strict_json(text: str | bytes) -> Any:
    """JSON proper: NaN and Infinity are refused, as are texts that are no UTF-8."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    return json.loads(text, parse_constant=_no_constant)


def envelope_error(event: Any) -> str | None:
    """What makes the whole request unreadable to the server."""
    if not isinstance(event, dict):
        return "an event is an object"
    try:
        EventModel.model_validate(event)
    except ValueError as error:
        return str(error)
    return None
