"""Reading breakers: the board, one breaker, its instances and its events."""

from __future__ import annotations

from typing import Literal

from django.http import HttpResponse
from ninja import Query, Router

from breakers import access
from breakers.api.shapes import Authed, Instant, Limit, MatchQuery, Rows, SummaryOut, SummaryPage
from breakers.cursor import LIMIT_DEFAULT, decode, encode
from breakers.errors import FieldError, Invalid
from breakers.history.read import events_of
from breakers.live import board
from breakers.models import Scope
from breakers.registry_read import instances_of

router = Router(tags=["breakers"])


@router.get("/breakers", response=SummaryPage)
def get_breakers(
    request: Authed,
    query: Query[MatchQuery],
    limit: Limit = LIMIT_DEFAULT,
    cursor: str = "",
    at: str = "",
) -> SummaryPage:
    """The board: a summary of each matching breaker, by ID."""
    access.require(request.auth, Scope.READ)
    if at:
        raise Invalid([FieldError(("at",), "the board of a past instant is not available yet")])
    asked = query.dict()
    (after,) = decode(cursor, asked, [int]) if cursor else (0,)
    found = board.board(request.auth, query.match(), after=after, limit=limit + 1)
    more = len(found) > limit
    items = [SummaryOut.of(summary) for summary in found[:limit]]
    return SummaryPage(items=items, next=encode(asked, [int(items[-1].id)]) if more else None)


@router.get("/breakers/{breaker_id}", response=SummaryOut)
def get_breaker(request: Authed, breaker_id: str, response: HttpResponse) -> SummaryOut:
    """One breaker; its revision is the ETag."""
    access.require(request.auth, Scope.READ)
    summary = board.summary_of(request.auth, breaker_id)
    response["ETag"] = f'"{summary.revision}"'
    return SummaryOut.of(summary)


@router.get("/breakers/{breaker_id}/instances", response=Rows)
def get_breaker_instances(
    request: Authed, breaker_id: str, limit: Limit = LIMIT_DEFAULT, cursor: str = ""
) -> Rows:
    """The breaker inside each instance that is not retired: state, and what was applied."""
    breaker = access.breaker_to_see(request.auth, breaker_id)
    items, next_ = instances_of(breaker, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)


@router.get("/breakers/{breaker_id}/events", response=Rows)
def get_breaker_events(
    request: Authed,
    breaker_id: str,
    since: Instant | None = None,
    until: Instant | None = None,
    type: Literal["", "state_change", "snapshot", "note"] = "",
    limit: Limit = LIMIT_DEFAULT,
    cursor: str = "",
) -> Rows:
    """What happened to it, newest first; `since` ≤ t < `until`. Snapshots only where asked for by type."""
    breaker = access.breaker_to_see(request.auth, breaker_id)
    items, next_ = events_of(
        breaker, since=since, until=until, type=type, limit=limit, cursor=cursor
    )
    return Rows(items=items, next=next_)
