"""The lines of an export: NDJSON, names instead of ids. Pure.

A header, then breakers and instances by name, then events by time, then snapshots by time, then an end that
counts them, so that a file that was cut short is known for one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Struct

from breakers.errors import FieldError
from breakers.ingest.validate import AHEAD, storable
from breakers.states import Origin, State
from breakers.wire import Cause, Count, Labels, Metrics, Name, Seq, Target, Time

FORMAT = "panelboard-history"
VERSION = 1
LINE_MAX = 256 * 1024
"""Bytes; the longest that a stored event can make is a quarter of that."""
OLDEST = timedelta(days=5 * 366)
"""A partition is made for each week and day: a file must not make ten thousand years of them."""


class _Line(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What all lines have: a `kind`."""


class Header(_Line, frozen=True, kw_only=True, omit_defaults=False, tag="header"):
    """The first line: what the file is, and what was asked for."""

    format: Literal["panelboard-history"] = "panelboard-history"
    version: Literal[1] = 1
    environment: str | None = None
    service: str | None = None
    since: Time | None = None
    until: Time | None = None
    snapshots: bool = True


class BreakerLine(_Line, frozen=True, kw_only=True, tag="breaker"):
    """A breaker, and what it guards."""

    environment: Name
    service: Name
    breaker: Name
    target: Target | None = None


class InstanceLine(_Line, frozen=True, kw_only=True, tag="instance"):
    """An instance; `agent`: it was known by an agent's connection, and not by events alone."""

    environment: Name
    service: Name
    instance: Name
    agent: bool = False
    last_seen: Time
    retired_at: Time | None = None


class _Recorded(_Line, frozen=True, kw_only=True):
    """What an event and a snapshot share."""

    environment: Name
    service: Name
    breaker: Name
    instance: Name
    id: Name
    occurred_at: Time
    received_at: Time
    boot: Name | None = None
    seq: Seq | None = None
    natural_state: State | None = None
    detail: str | None = None
    labels: Labels | None = None
    metrics: Metrics | None = None


class EventLine(_Recorded, frozen=True, kw_only=True, tag="event", rename={"from_": "from"}):
    """A state change or a note."""

    type: Literal["state_change", "note"]
    to: State | None = None
    from_: State | None = None
    cause: Cause = "unknown"
    reason: Target | None = None
    library: Target | None = None
    origin: Origin = Origin.AGENT


class SnapshotLine(_Recorded, frozen=True, kw_only=True, tag="snapshot"):
    """A sample of counters."""


class End(_Line, frozen=True, kw_only=True, tag="end"):
    """The last line."""

    breakers: Count
    instances: Count
    events: Count
    snapshots: Count


Line = Header | BreakerLine | InstanceLine | EventLine | SnapshotLine | End
encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode
_NAMES = (
    "environment",
    "service",
    "breaker",
    "instance",
    "id",
    "boot",
    "reason",
    "library",
    "target",
)
_TIMES = ("occurred_at", "received_at", "last_seen", "retired_at")


def read_line(raw: bytes, *, now: datetime) -> Line | FieldError:
    """The line, or the first thing wrong with it."""
    try:
        line = _decode(raw)
    except msgspec.ValidationError as problem:
        text, _, path = str(problem).partition(" - at `$")
        return FieldError((path.strip(".`") or "line",), text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return FieldError(("line",), "is not JSON")
    except RecursionError:
        return FieldError(("line",), "is nested too deeply")
    return _wrong(line, now) or line


def _wrong(line: Line, now: datetime) -> FieldError | None:
    for name in _NAMES:
        value = getattr(line, name, None)
        if value and not value.isprintable():
            return FieldError((name,), "must be printable characters only")
    for name in _TIMES:
        at = getattr(line, name, None)
        if at is not None and not now - OLDEST <= at <= now + AHEAD:
            return FieldError((name,), f"must be of the last {OLDEST.days} days")
    if isinstance(line, EventLine):
        if line.type == "state_change" and line.to is None:
            return FieldError(("to",), "is required for a state change")
        if line.to is State.UNKNOWN and line.origin is not Origin.SERVER:
            return FieldError(("to",), "is only ever said by the server")
        if line.reason and len(line.reason) > 64:
            return FieldError(("reason",), "must have at most 64 characters")
    if isinstance(line, (EventLine, SnapshotLine)):
        if line.detail and (len(line.detail) > 2000 or not storable(line.detail)):
            return FieldError(("detail",), "must be text of at most 2,000 characters")
        for key, value in (line.labels or {}).items():
            if not (key.isprintable() and value.isprintable()):
                return FieldError(("labels",), "must be printable characters only")
    return None


def utc(at: datetime) -> datetime:
    """As lines say times, so that the same instant is the same bytes."""
    return at.astimezone(UTC)
