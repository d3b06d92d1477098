"""What the calls of alerting share: parameters, texts that can be stored, pages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest
from ninja import Query
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from breakers.access import Actor
from breakers.cursor import LIMIT_MAX
from breakers.errors import FieldError, Invalid


class Authed(HttpRequest):
    """A request whose actor is known."""

    auth: Actor


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold printable characters only")
    return text


def _storable(text: str) -> str:
    if "\0" in text or not _encodes(text):
        raise ValueError("must not hold NUL or half characters")
    return text


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _id(said: object) -> object:
    return str(said) if isinstance(said, int) and not isinstance(said, bool) else said


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_printable),
]
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000),
    AfterValidator(_storable),
]
Note = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(_storable)
]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
    AfterValidator(_storable),
]
Id = Annotated[str, BeforeValidator(_id), Field(max_length=40)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]


def statuses_of(said: str, known: list[str]) -> list[str]:
    """A comma list of statuses; raises Invalid for one that there is not."""
    asked = [one.strip() for one in said.split(",") if one.strip()]
    for one in asked:
        if one not in known:
            raise Invalid([FieldError(("status",), f"{one!r} is none of {', '.join(known)}")])
    return asked


def plain(struct: Any) -> dict[str, Any]:
    """A struct's fields for a Schema; times stay times."""
    return dict(msgspec.to_builtins(struct, builtin_types=(datetime,)))
