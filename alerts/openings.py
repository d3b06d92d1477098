"""Why the breakers that a message is about have opened, out of history and of what hands did."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from alerts.policies.hands import trip_by_hand
from alerts.sentences import Opening
from breakers.wire import Summary

_BEFORE = timedelta(minutes=1)
"""A breaker that has closed meanwhile, or is held, opened at most so long before the incident began."""

# One step of the index on (breaker, time) for each.
_FIRST = """
SELECT a.breaker_id, first.*
FROM unnest(%(breakers)s::bigint[], %(times)s::timestamptz[]) AS a (breaker_id, since)
CROSS JOIN LATERAL (
    SELECT e.occurred_at, i.name, e.cause, e.reason, e.detail
    FROM event e JOIN instance i ON i.id = e.instance_id
    WHERE e.breaker_id = a.breaker_id AND e.type = 'state_change' AND e.occurred_at >= a.since
      AND coalesce(e.natural_state, e.to_state) = 'open'
    ORDER BY e.occurred_at, e.event_id LIMIT 1
) first
"""


def openings_of(breakers: Iterable[Summary], *, began_at: datetime) -> dict[str, Opening]:
    """By breaker id, of an incident that began then; of a breaker that did not open there is none."""
    since = {
        int(one.id): one.not_closed_since
        if one.state in ("open", "half_open") and one.not_closed_since
        else began_at - _BEFORE
        for one in breakers
    }
    with connection.cursor() as cursor:
        cursor.execute(_FIRST, {"breakers": list(since), "times": list(since.values())})
        return {str(row[0]): _opening(*row) for row in cursor.fetchall()}


def _opening(breaker: int, at: datetime, instance: str, cause: str, *said: Any) -> Opening:
    reason, detail = said
    hand = trip_by_hand(breaker, instance, at) if cause == "manual" else None
    if hand is not None:
        return Opening(at, instance, hand.reason, hand.by_name)
    # `hello` is no reason: it was open when its process was first heard.
    why = detail or ("" if reason == "hello" else (reason or "").replace("_", " "))
    return Opening(at, instance, why or ("moved by hand" if cause == "manual" else ""))
