"""CloudEvents 1.0 in JSON: structured, batched, and (from `json`) binary mode. Their id and time win."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import unquote

import msgspec
from msgspec import Meta, Struct

from breakers.errors import FieldError
from breakers.ingest.formats.item import Head, Item, is_array, many_json, one_json
from breakers.wire import Name, Time

MEDIA_TYPES = ("application/cloudevents+json", "application/cloudevents-batch+json")
TYPE = "io.panelboard.breaker.event.v1"


class Envelope(Struct, frozen=True):
    """The attributes that matter here; extensions are ignored."""

    specversion: Annotated[str, Meta(pattern=r"^1\.0$")]
    type: str
    id: Name
    source: Annotated[str, Meta(min_length=1)]
    data: msgspec.Raw
    time: Time | None = None


_envelope = msgspec.json.Decoder(Envelope).decode
_FIELDS = msgspec.structs.fields(Envelope)


def split(body: bytes, head: Head) -> list[Item]:
    raws = many_json(body) if is_array(body) else [one_json(body)]
    return [_open(raw) for raw in raws]


def _open(raw: msgspec.Raw) -> Item:
    try:
        envelope = _envelope(raw)
    except msgspec.ValidationError as problem:
        return Item(errors=(_located(str(problem)),))
    return _checked(envelope.type, envelope.data, envelope.id, envelope.time)


def from_headers(data: msgspec.Raw, head: Head) -> Item:
    """Binary mode: the attributes are headers, the body is the data."""
    said = {
        field.name: value
        for field in _FIELDS
        if field.name != "data" and (value := head(b"ce-" + field.name.encode())) is not None
    }
    try:
        # HTTP binding, 3.1.3.2: what is no printable ASCII comes percent-encoded.
        said = {name: unquote(value, errors="strict") for name, value in said.items()}
    except UnicodeDecodeError:
        return Item(errors=(FieldError((), "a ce- header is not percent-encoded UTF-8"),))
    try:
        attributes = msgspec.convert({**said, "data": {}}, _Attributes, strict=False)
    except msgspec.ValidationError as problem:
        return Item(errors=(_located(str(problem)),))
    return _checked(attributes.type, data, attributes.id, attributes.time)


class _Attributes(Struct, frozen=True):
    specversion: Annotated[str, Meta(pattern=r"^1\.0$")]
    type: str
    id: Name
    source: Annotated[str, Meta(min_length=1)]
    time: Time | None = None


def _checked(type: str, data: msgspec.Raw, id: str, time: datetime | None) -> Item:
    if type != TYPE:
        return Item(errors=(FieldError(("type",), f"must be {TYPE}"),))
    return Item(data, id=id, occurred_at=time)


def _located(message: str) -> FieldError:
    """msgspec names a missing field in its words, and another's place at the end of them."""
    text, _, path = message.partition(" - at `$.")
    name = path.rstrip("`") or (text.split("`")[1] if "missing required field" in text else "")
    return FieldError((name,) if name else (), text)
