"""Log records that are events of breakers, by their event name. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from breakers.errors import FieldError
from breakers.ingest.formats import Item
from breakers.ingest.formats.cloudevents import TYPE as EVENT_NAME
from breakers.ingest.otlp.messages import (
    Identity,
    LogRecord,
    LogsRequest,
    Plain,
    attributes_of,
    time_of,
)

PREFIX = "panelboard."
_NESTED = ("labels", "metrics")
_encode = msgspec.json.Encoder(order="deterministic").encode


class Found(NamedTuple):
    """The events of a request, and the number of what is none of them."""

    items: list[Item]
    ignored: int


def events_of(request: LogsRequest, *, default_environment: str) -> Found:
    """The event of each record of ours; its fields are its attributes with the prefix `panelboard.`."""
    items: list[Item] = []
    ignored = 0
    for group in request.resource_logs:
        identity = Identity.of(group.resource, default_environment)
        for part in group.scope_logs:
            for record in part.log_records:
                said = _attributes_if_ours(record)
                if said is None:
                    ignored += 1
                else:
                    items.append(_item(record, said, identity))
    return Found(items, ignored)


def _attributes_if_ours(record: LogRecord) -> dict[str, Plain] | None:
    if record.event_name:
        return attributes_of(record.attributes) if record.event_name == EVENT_NAME else None
    # Before OTLP 1.5 the name was an attribute, and bridges of logging libraries still send it so.
    if any(pair.key == "event.name" for pair in record.attributes):
        said = attributes_of(record.attributes)
        return said if said.get("event.name") == EVENT_NAME else None
    return None


def _item(record: LogRecord, said: dict[str, Plain], identity: Identity) -> Item:
    nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
    at = time_of(nanoseconds) if nanoseconds else None
    if at is None:
        # Without it a repeat of the export could not be told from a second event.
        return Item(errors=(FieldError(("timeUnixNano",), "is required, or observedTimeUnixNano"),))
    if identity.service is None:
        return Item(errors=(FieldError(("resource", "service.name"), "is required"),))
    fields: dict[str, Any] = {}
    for key, value in said.items():
        if not key.startswith(PREFIX):
            continue
        name, _, inner = key.removeprefix(PREFIX).partition(".")
        if inner and name in _NESTED:
            fields.setdefault(name, {})[inner] = value
        else:
            fields[name] = value
    if record.body.WhichOneof("value") == "string_value":
        fields.setdefault("detail", record.body.string_value)
    fields |= {
        "environment": identity.environment,
        "service": identity.service,
        "instance": identity.instance,
        "occurred_at": at,
    }
    if "id" not in fields:
        # By all it says, to the nanosecond: the same record sent again is the same event.
        fields["id"] = "otlp-" + hashlib.sha256(_encode([nanoseconds, fields])).hexdigest()[:32]
    return Item(msgspec.Raw(_encode(fields)))
