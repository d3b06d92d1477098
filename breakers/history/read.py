"""Reading history: one breaker's events, newest first, index-backed and always bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.db import connection
from django.db.models import QuerySet

from breakers.cursor import encode, page
from breakers.models import Breaker, Event, Instance, Named, Removed, Snapshot
from breakers.sql import statements
from breakers.wire import told_time

_Row = TypeVar("_Row", Event, Snapshot)
_STATES_BEFORE = statements("history")["states_before"]
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
    """Events with `since` ≤ t < `until` and the next cursor. Snapshots are read only by their type. Of a state change,
    `was` is `from`, or, where the event does not say it, what its instance was before by history."""
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
    told = [_told(row, names) for row in found]
    _tell_what_was(breaker, found, told)
    return told, following


def cursor_after(breaker: Breaker, *, occurred_at: datetime, id: str) -> str:
    """The cursor of the page of all events that begins with the one before this event."""
    return encode({"breaker": breaker.pk}, [occurred_at, id])


def _page(
    rows: QuerySet[_Row], limit: int, cursor: str, query: Mapping[str, object]
) -> tuple[list[_Row], str | None]:
    return page(
        rows, order=_ORDER, newest_first=True, limit=limit, cursor=cursor or None, query=query
    )


def _tell_what_was(
    breaker: Breaker, found: Sequence[Event | Snapshot], told: Sequence[dict[str, Any]]
) -> None:
    changes = [
        (row, one)
        for row, one in zip(found, told, strict=True)
        if isinstance(row, Event) and row.type == "state_change"
    ]
    unsaid = iter(_states_before(breaker, [row for row, _ in changes if row.from_state is None]))
    for row, one in changes:
        one["was"] = next(unsaid) if row.from_state is None else row.from_state


def _states_before(breaker: Breaker, changes: Sequence[Event]) -> list[str | None]:
    """Each by itself: what came before one may stand on another page, also at the same instant."""
    if not changes:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            _STATES_BEFORE,
            {
                "breaker": breaker.pk,
                "instances": [change.instance_id for change in changes],
                "times": [change.occurred_at for change in changes],
                "seqs": [change.seq for change in changes],
                "ids": [change.event_id for change in changes],
            },
        )
        return [state for (state,) in cursor.fetchall()]


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
