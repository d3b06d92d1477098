"""`application/x-ndjson`: one event a line; blank lines do not count, a bad line is rejected alone."""

from __future__ import annotations

from breakers.errors import FieldError
from breakers.ingest.formats.item import Head, Item, NotUnderstood, one_json

MEDIA_TYPES = ("application/x-ndjson",)


def split(body: bytes, head: Head) -> list[Item]:
    lines = [line for line in body.split(b"\n") if line.strip()]
    items = [_line(line) for line in lines]
    if items and all(item.errors for item in items):
        raise NotUnderstood("no line of it is JSON")
    return items


def _line(line: bytes) -> Item:
    try:
        return Item(one_json(line))
    except NotUnderstood as problem:
        return Item(errors=(FieldError((), f"is not JSON: {problem}"),))
