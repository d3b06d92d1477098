"""Reading breakers: the board, one breaker, its instances and its events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from django.http import HttpResponse
from django.utils import timezone
from ninja import Query, Router, Status

from breakers import access
from breakers.api.auth import ADMIN, READ
from breakers.api.body import Instant
from breakers.api.names import RemoveIn
from breakers.api.shapes import (
    Authed,
    DetailOut,
    Limit,
    MatchQuery,
    OverrideOut,
    Rows,
    SummaryOut,
    SummaryPage,
    storable,
)
from breakers.cursor import LIMIT_DEFAULT, decode, encode
from breakers.desired.acts import acts_on
from breakers.history.read import events_of
from breakers.live import board
from breakers.live.past import SummaryThen, board_at
from breakers.models import PlannedOverride
from breakers.registry_read import instances_of
from breakers.removing import remove_breaker
from breakers.renaming import current_service
from breakers.wire import Summary

router = Router(tags=["breakers"])


@router.get("/breakers", auth=READ, response=SummaryPage)
def get_breakers(
    request: Authed,
    query: Query[MatchQuery],
    limit: Limit = LIMIT_DEFAULT,
    cursor: str = "",
    at: Instant | None = None,
) -> SummaryPage:
    """The board: a summary of each matching breaker, by ID.

    With `at` it is the board as it was at that instant, by `occurred_at` and all that is known now. Rates, revision,
    what was applied and the time of the last change are null then; the target is today's. An instant before history's
    edge, or ahead of now, is 422.
    """
    # By a former name one finds what it is called now.
    query.service = current_service(request.auth, query.service, environment=query.environment)
    asked = query.model_dump() | {"at": at}
    (after,) = decode(cursor, asked, [int]) if cursor else (0,)
    found: Sequence[Summary | SummaryThen]
    if at is None:
        found = board.board(request.auth, query.match(), after=after, limit=limit + 1)
    else:
        found = board_at(
            request.auth, query.match(), at=at, now=timezone.now(), after=after, limit=limit + 1
        )
    more = len(found) > limit
    items = [SummaryOut.of(summary) for summary in found[:limit]]
    return SummaryPage(items=items, next=encode(asked, [int(items[-1].id)]) if more else None)


@router.get("/breakers/{breaker_id}", auth=READ, response=DetailOut, by_alias=True)
def get_breaker(request: Authed, breaker_id: str, response: HttpResponse) -> DetailOut:
    """One breaker, with the override that is planned for it; its revision is the ETag."""
    summary = board.summary_of(request.auth, breaker_id)
    response["ETag"] = f'"{summary.revision}"'
    planned = PlannedOverride.objects.filter(breaker=int(summary.id), ended_at=None).first()
    return DetailOut(
        **dict(SummaryOut.of(summary)), planned=OverrideOut.of(planned) if planned else None
    )


@router.delete("/breakers/{breaker_id}", auth=ADMIN, response={204: None})
def delete_breaker(request: Authed, breaker_id: str, body: RemoveIn) -> Status[None]:
    """Removes a breaker from all instances, and ends what is wished of it. One that reports again is made anew, with
    another ID; the events of this one are read by this ID as long as they are kept."""
    breaker = access.breaker_to_name(request.auth, breaker_id)
    storable(("reason",), body.reason)
    remove_breaker(
        breaker, history=body.history, reason=body.reason, by=request.auth, now=timezone.now()
    )
    return Status(204, None)


@router.get("/breakers/{breaker_id}/instances", auth=READ, response=Rows)
def get_breaker_instances(
    request: Authed, breaker_id: str, limit: Limit = LIMIT_DEFAULT, cursor: str = ""
) -> Rows:
    """The breaker inside each instance that is not retired: its `state`, what the library itself is
    (`natural_state`), and what became of what is wished: the mode `wanted` of it (null: as the library judges), the
    `revision` of that, the `applied_revision`, and `drift` where they differ: `behind`, `refused` or `contradicts`
    (the state is another than what is wanted), with `since`. `last_refusal` stays after a later success.
    `probe_due_at`: when an open one lets the next call through as a probe; in the past, it waits for that call."""
    breaker = access.breaker_to_see(request.auth, breaker_id)
    items, next_ = instances_of(breaker, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)


@router.get("/breakers/{breaker_id}/events", auth=READ, response=Rows)
def get_breaker_events(
    request: Authed,
    breaker_id: str,
    since: Instant | None = None,
    until: Instant | None = None,
    type: Literal["", "state_change", "snapshot", "note"] = "",
    limit: Limit = LIMIT_DEFAULT,
    cursor: str = "",
) -> Rows:
    """What happened to it, newest first; `since` ≤ t < `until`. Snapshots only where asked for by type. Of a breaker
    that was removed, as long as its history is kept.

    Beside what was sent, each has `received_at`, `cause`, and its `origin`: `agent` for whatever was sent, by SDK or
    by hand, and `server` for what the panel found out itself. Of a state change, `was` is `from`, or, where that was
    not said, the state that history has before it."""
    breaker = access.breaker_of_history(request.auth, breaker_id)
    items, next_ = events_of(
        breaker, since=since, until=until, type=type, limit=limit, cursor=cursor
    )
    return Rows(items=items, next=next_)


@router.get("/breakers/{breaker_id}/acts", auth=READ, response=Rows)
def get_breaker_acts(
    request: Authed, breaker_id: str, limit: Limit = LIMIT_DEFAULT, cursor: str = ""
) -> Rows:
    """What hands did to it, newest first: `act` (`trip`, `reset`, `override`, `release`, `expire`, `plan_override`,
    `start_override`, `cancel_override`, `miss_override`), `at`, `by` and `by_kind`, `reason`, and what was made or ended:
    `mode`, `revision`, `instances` and `except`, `starts_at`, `expires_at`, who approved it (`approved_by`) and which
    guard it got past (`broke`)."""
    breaker = access.breaker_to_see(request.auth, breaker_id)
    items, next_ = acts_on(breaker, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)
