"""What a call says in its body."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from breakers.errors import FieldError, Invalid

_Word = TypeVar("_Word", bound=Enum)
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)


class Body(BaseModel):
    """An object, and nothing else. ninja's Schema reads attributes of whatever comes: to it a list is an object
    that leaves everything out, which for a call that sets limits means that it takes them all away.

    Nothing is turned into what it is not: `"600"` and true are no numbers, and `"yes"` is neither true nor false.
    Of what JSON has no type for, a field says how it is written: `OneOf` and `Instant`.
    """

    model_config = ConfigDict(strict=True)


class HandBody(Body):
    """Of a hand on breakers, or on what limits one. What nobody knows is passed over here too, but neither a known name
    in another spelling nor a word of another such call: `dryRun` would act, `instance` reach further than it means.
    Raises Invalid for those."""

    @model_validator(mode="before")
    @classmethod
    def _passes_over_nothing_meant(cls, said: Any) -> Any:
        if isinstance(said, dict):
            names = [field.alias or name for name, field in cls.model_fields.items()]
            meant = {_letters(name): name for name in (*_HAND_WORDS, *names)}
            near = {name: meant.get(_letters(name)) for name in said if name not in names}
            wrong = [
                FieldError((name,), f"is “{word}”" if word in names else "is no part of this call")
                for name, word in near.items()
                if word and said[name] not in (None, False, [], {})
            ]
            if wrong:
                raise Invalid(wrong)
        return said


_HAND_WORDS = (
    "match",
    "everything",
    "dry_run",
    "digest",
    "starts_at",
    "instances",
    "except",
    "excepted",
    "planned",
    "max_forced_percent",
    "above",
)


def _letters(name: object) -> str:
    """What different ways to write a name have in common, a plural and a verb's ending among them."""
    return re.sub("[^a-rt-z0-9]", "", str(name).lower())


OneOf = Annotated[_Word, Field(strict=False)]
"""A word of an enumeration, as text."""


def _begins_with_a_date(said: object) -> object:
    """pydantic would take a number, also one in a text, for the seconds since 1970."""
    if isinstance(said, datetime) or (isinstance(said, str) and _DATE.match(said)):
        return said
    raise ValueError("must be a time as RFC 3339 has it, with its zone")


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies beyond the calendar, in UTC") from None


Instant = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_begins_with_a_date),
    AfterValidator(_in_utc),
]
"""A time with a zone, in UTC: at the edge of the calendar not every one has a place there."""
