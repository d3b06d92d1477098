"""`application/json`: one event or an array of them."""

from __future__ import annotations

import msgspec

MEDIA_TYPE = "application/json"
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder(msgspec.Raw)


class NotUnderstood(ValueError):
    """The body is not of the format that it says it is."""


def split(body: bytes) -> list[msgspec.Raw]:
    """The events of a body, still encoded; raises NotUnderstood where it is not JSON at all."""
    try:
        body.decode()
        if body.lstrip(b" \t\r\n")[:1] == b"[":
            return _ARRAY.decode(body)
        return [_ANY.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise NotUnderstood(str(problem)) from problem
