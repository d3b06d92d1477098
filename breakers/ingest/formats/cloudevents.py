"""CloudEvents 1.0 in JSON: structured, batched, and (from `json`) binary mode. Their id and time win."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

import msgspec
from msgspec import Meta, Struct

from breakers.errors import FieldError
from breakers.ingest.explain import explain
from breakers.ingest.formats.item import Head, Item, NotUnderstood, is_array, many_json, one_json
from breakers.wire import Name, Time

MEDIA_TYPES = ("application/cloudevents+json", "application/cloudevents-batch+json")
TYPE = "io.panelboard.breaker.event.v1"
_NONE = msgspec.Raw()


class _Attributes(Struct, frozen=True, kw_only=True):
    """Those that matter here; extensions are ignored."""

    specversion: Annotated[str, Meta(pattern=r"^1\.0$")]
    type: str
    id: Name
    source: Annotated[str, Meta(min_length=1)]
    time: Time | None = None


class _Envelope(_Attributes, frozen=True, kw_only=True):
    """Those in a body, with the event: as it is, or as what a library that was given bytes makes of it."""

    data: msgspec.Raw = _NONE
    data_base64: bytes | None = None


_envelope = msgspec.json.Decoder(_Envelope).decode
_attributes = msgspec.json.Decoder(_Attributes).decode
_NAMES = [field.name for field in msgspec.structs.fields(_Attributes)]


def split(body: bytes, head: Head) -> list[Item]:
    raws = many_json(body) if is_array(body) else [one_json(body)]
    return [_open(raw) for raw in raws]


def _open(raw: msgspec.Raw) -> Item:
    try:
        envelope = _envelope(raw)
    except (msgspec.ValidationError, RecursionError):
        return Item(errors=tuple(explain(raw, _Envelope)))
    data = envelope.data
    if data == _NONE:
        if envelope.data_base64 is None:
            return Item(errors=(FieldError(("data",), "is required"),))
        try:
            data = one_json(envelope.data_base64)
        except NotUnderstood as problem:
            return Item(errors=(FieldError(("data_base64",), str(problem)),))
    return _checked(envelope, data)


def from_headers(data: msgspec.Raw, head: Head) -> Item:
    """Binary mode: the attributes are headers, the body is the data."""
    said = {name: value for name in _NAMES if (value := head(b"ce-" + name.encode())) is not None}
    try:
        # HTTP binding, 3.1.3.2: what is no printable ASCII comes percent-encoded.
        said = {name: unquote(value, errors="strict") for name, value in said.items()}
    except UnicodeDecodeError:
        return Item(errors=(FieldError((), "a ce- header is not percent-encoded UTF-8"),))
    encoded = msgspec.json.encode(said)
    try:
        return _checked(_attributes(encoded), data)
    except msgspec.ValidationError:
        return Item(errors=tuple(explain(encoded, _Attributes)))


def _checked(said: _Attributes, data: msgspec.Raw) -> Item:
    if said.type != TYPE:
        return Item(errors=(FieldError(("type",), f"must be {TYPE}"),))
    return Item(data, id=said.id, occurred_at=said.time)
