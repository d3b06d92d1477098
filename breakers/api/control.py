"""The hand on a breaker: force, release, trip, reset; and what stands."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpResponse
from django.utils import timezone
from ninja import Header, Router, Status

from breakers import access
from breakers.api.shapes import (
    Authed,
    CommandIn,
    CommandOut,
    Limit,
    OverrideIn,
    OverrideOut,
    ReleaseIn,
    ReleaseOut,
    Rows,
    storable,
)
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.desired.command import HEARD_WITHIN, command_breaker
from breakers.desired.override import override_breaker, release_breaker
from breakers.errors import FieldError, Invalid
from breakers.models import Breaker, Override, Scope

router = Router(tags=["control"])


@router.put("/breakers/{breaker_id}/override", response=OverrideOut, by_alias=True)
def put_override(
    request: Authed,
    breaker_id: str,
    body: OverrideIn,
    response: HttpResponse,
    if_match: Annotated[str | None, Header(alias="If-Match")] = None,
) -> OverrideOut:
    """Forces the breaker open or closed until it expires or is released. `If-Match` names the revisions at
    which it may be; a weak tag (`W/"3"`) matches none."""
    breaker = access.breaker_to_operate(request.auth, breaker_id)
    now = timezone.now()
    override = override_breaker(
        breaker,
        wish=body.wish(now),
        by=request.auth,
        now=now,
        expected=_revisions(if_match),
    )
    response["ETag"] = f'"{override.revision}"'
    return OverrideOut.of(override)


_TAG = re.compile(r'\s*(?P<weak>W/)?(?:"(?P<quoted>\d{1,18})"|(?P<bare>\d{1,18}))\s*', re.ASCII)


def _revisions(if_match: str | None) -> frozenset[int] | None:
    """The revisions in an If-Match header, any of which will do; `*` and none at all: None, which is any.

    A weak tag is understood and matches nothing (RFC 9110, 13.1.1: the comparison is the strong one).
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = [_TAG.fullmatch(item) for item in if_match.split(",") if item.strip()]
    if not tags or None in tags:
        raise Invalid([FieldError(("If-Match",), 'expected revisions, as in "7" or "7", "8"')])
    return frozenset(
        int(tag["quoted"] or tag["bare"]) for tag in tags if tag is not None and not tag["weak"]
    )


@router.delete("/breakers/{breaker_id}/override", response=ReleaseOut)
def delete_override(request: Authed, breaker_id: str, body: ReleaseIn) -> ReleaseOut:
    """Releases the breaker to its own judgement."""
    breaker = access.breaker_to_operate(request.auth, breaker_id)
    storable(("reason",), body.reason)
    revision = release_breaker(breaker, reason=body.reason, by=request.auth, now=timezone.now())
    return ReleaseOut(revision=revision)


@router.post("/breakers/{breaker_id}/commands", response={202: CommandOut})
def post_command(request: Authed, breaker_id: str, body: CommandIn) -> Status[CommandOut]:
    """Trips the breaker (open now, then it recovers by itself) or resets it (closed, counters cleared)."""
    breaker = access.breaker_to_operate(request.auth, breaker_id)
    storable(("reason",), body.reason)
    given = command_breaker(
        breaker,
        command=body.command,
        reason=body.reason,
        instances=body.instances,
        by=request.auth,
        now=timezone.now(),
    )
    return Status(
        202,
        CommandOut(
            id=str(given.pk),
            command=body.command,
            instances=given.instances,
            revision=given.revision,
            expires_in=HEARD_WITHIN.total_seconds(),
        ),
    )


@router.get("/overrides", response=Rows)
def get_overrides(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> Rows:
    """The overrides that stand, newest first."""
    access.require(request.auth, Scope.READ)
    rows = Override.objects.filter(
        ended_at=None, breaker__in=access.breakers_for(request.auth)
    ).select_related("breaker__service__environment")
    found, next_ = page(
        rows,
        order=[("created_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "overrides"},
    )
    items = [
        OverrideOut.of(row).model_dump(mode="json", by_alias=True) | _where(row.breaker)
        for row in found
    ]
    return Rows(items=items, next=next_)


def _where(breaker: Breaker) -> dict[str, Any]:
    service = breaker.service
    return {
        "environment": service.environment.name,
        "service": service.name,
        "breaker_name": breaker.name,
        "target": breaker.target,
    }
