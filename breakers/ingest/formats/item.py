"""What a format makes of a body: events still encoded, each with what its envelope says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from breakers.errors import FieldError
from breakers.ingest.surrogates import decode_leniently

Head = Callable[[bytes], str | None]
"""A request's header by its lower-case name."""


class NotUnderstood(ValueError):
    """The body is not of the format that it says it is."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """One event of a body; with `errors` it is rejected for them. An envelope's id and time win."""

    raw: msgspec.Raw = msgspec.Raw(b"null")
    id: str | None = None
    occurred_at: datetime | None = None
    errors: tuple[FieldError, ...] = ()


_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_any = msgspec.json.Decoder(msgspec.Raw).decode


def one_json(body: bytes) -> msgspec.Raw:
    """A single JSON value; raises NotUnderstood."""
    try:
        body.decode()
        return decode_leniently(_any, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise NotUnderstood(str(problem)) from problem


def many_json(body: bytes) -> list[msgspec.Raw]:
    """The values of a JSON array; raises NotUnderstood."""
    try:
        body.decode()
        return decode_leniently(_array, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise NotUnderstood(str(problem)) from problem


def is_array(body: bytes) -> bool:
    return body.lstrip(b" \t\r\n")[:1] == b"["
