"""Reading history: one breaker's events, newest first, index-backed and always bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import QuerySet

from breakers.cursor import encode, page
from breakers.models import Breaker, Event, Instance, Named, Removed, Snapshot
from breakers.wire import told_time

_Row = TypeVar("_Row", Event, Snapshot)
_ORDER: list[tuple[str, type]] = [("occurred_at", datetime), ("event_id", str)]


def events_of(
    breaker: Breaker,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    type: str = "",
    limit: int,
    cursor: str = "",
) -> tuple[list[dict[str, Any]], str | None]:
    """Events with `since` ≤ t < `until` and the next cursor. Snapshots are read only by their type."""
    query = {"breaker": breaker.pk, "since": since, "until": until, "type": type}
    span: dict[str, Any] = {"breaker_id": breaker.pk}
    if since is not None:
        span["occurred_at__gte"] = since
    if until is not None:
        span["occurred_at__lt"] = until
    found: Sequence[Event | Snapshot]
    if type == "snapshot":
        found, following = _page(Snapshot.objects.filter(**span), limit, cursor, query)
    else:
        events = Event.objects.filter(**span)
        events = events.filter(type=type) if type else events
        found, following = _page(events, limit, cursor, query)
    instances = {row.instance_id for row in found}
    names = dict(Instance.objects.filter(pk__in=instances).values_list("pk", "name"))
    removed = Removed.objects.filter(kind=Named.INSTANCE, of_id__in=instances - names.keys())
    names |= dict(removed.values_list("of_id", "name"))
    return [_told(row, names) for row in found], following


def cursor_after(breaker: Breaker, *, occurred_at: datetime, id: str) -> str:
    """The cursor of the page of all events that begins with the one before this event."""
    return encode({"breaker": breaker.pk}, [occurred_at, id])


def _page(
    rows: QuerySet[_Row], limit: int, cursor: str, query: Mapping[str, object]
) -> tuple[list[_Row], str | None]:
    return page(
        rows, order=_ORDER, newest_first=True, limit=limit, cursor=cursor or None, query=query
    )


def _told(row: Event | Snapshot, names: dict[int, str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": row.event_id,
        "occurred_at": told_time(row.occurred_at),
        "received_at": told_time(row.received_at),
        "instance": names.get(row.instance_id),
        "type": "snapshot",
        "natural_state": row.natural_state,
        "boot": row.boot,
        "seq": row.seq,
        "detail": row.detail,
        "labels": row.labels,
        "metrics": row.metrics,
    }
    if isinstance(row, Event):
        told |= {
            "type": row.type,
            "from": row.from_state,
            "to": row.to_state,
            "cause": row.cause,
            "reason": row.reason,
            "library": row.library,
            "origin": row.origin,
        }
    return told
