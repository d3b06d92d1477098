"""The hand on a breaker: force, release, trip, reset; and what stands."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from ninja import Header, Router, Status

from breakers import access
from breakers.api.auth import OPERATE, READ
from breakers.api.shapes import (
    ApprovalOut,
    Authed,
    CommandIn,
    CommandOut,
    Limit,
    ManyOut,
    OverrideIn,
    OverrideMadeOut,
    OverrideOut,
    OverridesIn,
    OverridesOut,
    ReleasedOut,
    ReleaseIn,
    ReleaseOut,
    ReleasesIn,
    ReleasesOut,
    Rows,
    storable,
)
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.desired.command import HEARD_WITHIN
from breakers.desired.many import matching, reach_of, release_many, standing
from breakers.desired.override import release_breaker
from breakers.desired.plan import cancel_plan
from breakers.guards.calls import CommandCall, ManyCall, OverrideCall
from breakers.guards.leave import make_call
from breakers.models import Approval, Breaker, Override, PlannedOverride
from breakers.registry_read import deaf_instances, not_known

router = Router(tags=["control"])


IfMatch = Annotated[str | None, Header(alias="If-Match")]


@router.put(
    "/breakers/{breaker_id}/override",
    auth=OPERATE,
    response={200: OverrideMadeOut, 202: ApprovalOut},
    by_alias=True,
)
def put_override(
    request: Authed,
    breaker_id: str,
    body: OverrideIn,
    response: HttpResponse,
    if_match: IfMatch = None,
) -> OverrideMadeOut | Status[ApprovalOut]:
    """Forces the breaker open or closed until it expires or is released; with `starts_at`, from then on. `If-Match`
    names the revisions at which it may be (412 at any other); a weak tag (`W/"3"`) matches none, and `*` each.

    One override stands at a time and one is planned; another takes its place. A planned one replaces at its start
    what stood when it was planned; an override made by a person or a key since then is kept, and the planned one
    waits for its end. 202: the call itself waits, for another person's approval.

    A name in `instances` that nobody bears is taken: an instance may be to come. It stands in `unreachable`."""
    breaker = access.breaker_to_operate(request.auth, breaker_id)
    now = timezone.now()
    wish, expected = body.wish(now), _revisions(if_match)
    override = make_call(
        OverrideCall(
            breaker=breaker.pk,
            wish=wish,
            expected=None if expected is None else tuple(sorted(expected)),
        ),
        by=request.auth,
        now=now,
        confirm=body.confirm,
        break_glass=body.break_glass,
    )
    if isinstance(override, Approval):
        return Status(202, ApprovalOut.of(override, now, request.auth))
    response["ETag"] = f'"{override.revision}"'
    deaf = [name for name in deaf_instances(breaker) if wish.includes(name)]
    to_come = not_known({breaker.pk: wish.instances or ()})[breaker.pk]
    return OverrideMadeOut(**dict(OverrideOut.of(override)), unreachable=[*deaf, *to_come])


_TAG = re.compile(r'"(0|[1-9]\d{0,17})"', re.ASCII)


def _revisions(if_match: str | None) -> frozenset[int] | None:
    """The revisions in an If-Match header, any of which will do; `*` and none at all: None, which is any.

    Tags are compared strongly (RFC 9110, 13.1.1): a weak one, and whatever else is no revision, matches none. A
    number may stand alone without its quotes.
    """
    if if_match is None:
        return None
    said = if_match.strip()
    if said == "*":
        return None
    if said.isdecimal():
        said = f'"{said}"'
    tags = [_TAG.fullmatch(tag.strip()) for tag in said.split(",")]
    return frozenset(int(tag[1]) for tag in tags if tag is not None)


@router.delete("/breakers/{breaker_id}/override", auth=OPERATE, response=ReleaseOut)
def delete_override(
    request: Authed,
    breaker_id: str,
    body: ReleaseIn,
    response: HttpResponse,
    if_match: IfMatch = None,
) -> ReleaseOut:
    """Releases the breaker to its own judgement; with `planned`, cancels what is planned and leaves what stands."""
    breaker = access.breaker_to_operate(request.auth, breaker_id)
    storable(("reason",), body.reason)
    end = cancel_plan if body.planned else release_breaker
    revision = end(
        breaker,
        reason=body.reason,
        by=request.auth,
        now=timezone.now(),
        expected=_revisions(if_match),
    )
    response["ETag"] = f'"{revision}"'
    return ReleaseOut(revision=revision)


@router.post(
    "/breakers/{breaker_id}/commands", auth=OPERATE, response={202: CommandOut | ApprovalOut}
)
def post_command(
    request: Authed, breaker_id: str, body: CommandIn
) -> Status[CommandOut] | Status[ApprovalOut]:
    """Trips the breaker (open now, then it recovers by itself) or resets it (closed, counters cleared). An approval
    in the answer: it waits for another person."""
    breaker = access.breaker_to_operate(request.auth, breaker_id)
    storable(("reason",), body.reason)
    now = timezone.now()
    given = make_call(
        CommandCall(
            breaker=breaker.pk,
            command=body.command,
            reason=body.reason,
            instances=None if body.instances is None else tuple(body.instances),
        ),
        by=request.auth,
        now=now,
        confirm=body.confirm,
        break_glass=body.break_glass,
    )
    if isinstance(given, Approval):
        return Status(202, ApprovalOut.of(given, now, request.auth))
    return Status(
        202,
        CommandOut(
            id=str(given.pk),
            command=body.command,
            instances=given.instances,
            unreachable=[name for name in deaf_instances(breaker) if name in given.instances],
            revision=given.revision,
            expires_in=HEARD_WITHIN.total_seconds(),
        ),
    )


@router.post(
    "/overrides",
    auth=OPERATE,
    response={200: ManyOut, 201: OverridesOut, 202: ApprovalOut},
    by_alias=True,
)
def post_overrides(
    request: Authed, body: OverridesIn
) -> Status[ManyOut] | Status[OverridesOut] | Status[ApprovalOut]:
    """Overrides every breaker that matches, all or none. With `dry_run` it only tells which breakers and instances
    that would be (200), names of no instance of theirs among the `unreachable`, and a `digest` of them and of what
    stands on them; sent with that, the call is refused (412) if it is another set by now. At most 1,000 breakers and 50,000 instances (422 beyond); nothing that matches is
    404. Each breaker gets a revision and an audit entry of its own, all with one `request_id`. 202: all of it waits for
    another person's approval."""
    now = timezone.now()
    match, wish, by = body.chosen(request.auth), body.wish(now), request.auth
    reach = reach_of(matching(match, by=by), match, by=by, wish=wish)
    if body.dry_run:
        return Status(200, ManyOut(**ManyOut.fields_of(reach, dry_run=True, by=by)))
    made = make_call(
        ManyCall(
            breakers=tuple(int(one.id) for one in reach.breakers),
            match=match,
            wish=wish,
            digest=body.digest,
        ),
        by=by,
        now=now,
        confirm=body.confirm,
        break_glass=body.break_glass,
    )
    if isinstance(made, Approval):
        return Status(202, ApprovalOut.of(made, now, by))
    reach, overrides = made
    return Status(
        201,
        OverridesOut(
            **ManyOut.fields_of(reach, dry_run=False, by=by),
            overrides=[OverrideOut.of(one) for one in overrides],
        ),
    )


@router.post("/overrides/release", auth=OPERATE, response=ReleasesOut)
def post_release(request: Authed, body: ReleasesIn) -> ReleasesOut:
    """Releases every breaker that matches and has an override standing, all or none; `dry_run` and `digest` as for
    overriding many. What is planned stays."""
    storable(("reason",), body.reason)
    match, by = body.chosen(request.auth), request.auth
    ids = standing(match, by=by)
    revisions: dict[int, int] = {}
    if body.dry_run:
        reach = reach_of(ids, match, by=by)
    else:
        reach, revisions = release_many(
            ids, match, reason=body.reason, by=by, now=timezone.now(), digest=body.digest
        )
    return ReleasesOut(
        **ManyOut.fields_of(reach, dry_run=body.dry_run, by=by),
        released=[ReleasedOut(breaker=str(id), revision=new) for id, new in revisions.items()],
    )


@router.get("/overrides", auth=READ, response=Rows)
def get_overrides(
    request: Authed,
    status: Literal["standing", "planned"] = "standing",
    limit: Limit = LIMIT_DEFAULT,
    cursor: str = "",
) -> Rows:
    """The overrides that stand, or those that are planned; newest first."""
    seen = access.breakers_for(request.auth)
    if status == "planned":
        return _rows(PlannedOverride.objects.filter(breaker__in=seen), status, limit, cursor)
    return _rows(Override.objects.filter(breaker__in=seen), status, limit, cursor)


_Row = TypeVar("_Row", Override, PlannedOverride)


def _rows(rows: QuerySet[_Row], status: str, limit: int, cursor: str) -> Rows:
    found, next_ = page(
        rows.filter(ended_at=None).select_related("breaker__service__environment"),
        order=[("created_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "overrides", "status": status},
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
