"""The base types of a sweep file's sections: kinds of values, and what is expected of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """The base of all sections: unknown keys and type conversions are refused, and values are
    immutable."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """What a value must be, in words: the end of the error message for a wrong value.

    It is part of the type of a key. A key without it is described by its type: a section or a
    choice.
    """

    words: str


Flag: TypeAlias = Annotated[bool, Expected("true or false")]
Integer: TypeAlias = Annotated[int, Expected("an integer")]
Count: TypeAlias = Annotated[int, Field(ge=1), Expected("an integer of 1 or more")]
Number: TypeAlias = Annotated[float, Expected("a number")]
Above0: TypeAlias = Annotated[float, Field(gt=0), Expected("a number above 0")]
From0: TypeAlias = Annotated[float, Field(ge=0), Expected("a number of 0 or more")]
Key: TypeAlias = Annotated[str, Field(min_length=1)]
Text: TypeAlias = Annotated[str, Field(min_length=1), Expected("text")]
FilePath: TypeAlias = Annotated[str, Field(min_length=1), Expected("a path")]
Values: TypeAlias = Annotated[
    list[Any], Field(min_length=1), Expected("a list of at least one value")
]
Names: TypeAlias = Annotated[
    list[Text], Expected("a list of names of exception classes or causes of death")
]
Pair: TypeAlias = Annotated[list[Number], Field(min_length=2, max_length=2)]
IntegerPair: TypeAlias = Annotated[list[int], Field(min_length=2, max_length=2)]
