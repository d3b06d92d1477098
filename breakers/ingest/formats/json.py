"""`application/json`: one event or an array; with `ce-` headers, the data of one CloudEvent (binary mode)."""

from __future__ import annotations

from breakers.ingest.formats import cloudevents
from breakers.ingest.formats.item import Head, Item, is_array, many_json, one_json

MEDIA_TYPES = ("application/json",)


def split(body: bytes, head: Head) -> list[Item]:
    if head(b"ce-specversion") is not None:
        return [cloudevents.from_headers(one_json(body), head)]
    if is_array(body):
        return [Item(raw) for raw in many_json(body)]
    return [Item(one_json(body))]
