"""The management API of breakers: parse, get rows through access, call one verb, render."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Header, Query, Router, Schema, Status
from pydantic import AwareDatetime, Field, StringConstraints

from breakers import access
from breakers.access import Actor
from breakers.cursor import LIMIT_DEFAULT, LIMIT_MAX, decode, encode, page
from breakers.desired.command import HEARD_WITHIN, command_breaker
from breakers.desired.override import OverrideWish, override_breaker, release_breaker
from breakers.errors import FieldError, Invalid
from breakers.history.read import events_of
from breakers.live import board
from breakers.live.match import Match
from breakers.models import AuditEntry, Breaker, Override, Scope
from breakers.registry_read import instances_of, instances_seen, services_seen, targets_seen
from breakers.states import Mode, State
from breakers.version import VERSION
from breakers.wire import told_time

router = Router()
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
_LONGEST = timedelta(days=366)


class Authed(HttpRequest):
    """A request whose actor is known."""

    auth: Actor


class OverrideCounts(Schema):
    mode: Mode
    reason: str
    by: str
    expires_at: datetime | None
    instances: list[str] | None
    applied: int
    pending: int


class SummaryOut(Schema):
    """A breaker in one line; rates in percent, null where unknown."""

    id: str
    environment: str
    service: str
    breaker: str
    target: str | None
    state: State
    states: dict[str, int]
    instances: int
    since: datetime | None
    failure_rate: float | None
    calls_per_second: float | None
    override: OverrideCounts | None
    revision: int
    updated_at: datetime


class SummaryPage(Schema):
    items: list[SummaryOut]
    next: str | None


class Rows(Schema):
    """Any other list; the shape of an item is described by its call."""

    items: list[dict[str, Any]]
    next: str | None


class MatchQuery(Schema):
    environment: Annotated[str, Field(max_length=200)] = ""
    service: Annotated[str, Field(max_length=200)] = ""
    state: Annotated[str, Field(max_length=200)] = ""
    target: Annotated[str, Field(max_length=200)] = ""
    q: Annotated[str, Field(max_length=200)] = ""

    def match(self) -> Match:
        return Match(self.environment, self.service, self.state, self.target, self.q)


class OverrideIn(Schema):
    """Exactly one of `expires_in` (seconds), `expires_at` and `no_expiry`."""

    mode: Mode
    reason: Reason
    expires_in: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    expires_at: AwareDatetime | None = None
    no_expiry: bool = False
    instances: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    excepted: Annotated[list[Name], Field(max_length=1000, alias="except")] = []

    def wish(self, now: datetime) -> OverrideWish:
        """Raises Invalid unless the expiry is said once and lies ahead, within a year."""
        said = [self.expires_in is not None, self.expires_at is not None, self.no_expiry]
        if sum(said) != 1:
            where = "expires_at" if self.expires_at is not None and sum(said) > 1 else "expires_in"
            text = "give exactly one of expires_in, expires_at and no_expiry"
            raise Invalid([FieldError((where,), text)])
        expires_at = self.expires_at
        if self.expires_in is not None:
            if self.expires_in > _LONGEST.total_seconds():
                raise Invalid([FieldError(("expires_in",), "must be at most 366 days")])
            expires_at = now + timedelta(seconds=self.expires_in)
        elif expires_at is not None and not now < expires_at <= now + _LONGEST:
            raise Invalid([FieldError(("expires_at",), "must lie ahead, at most 366 days")])
        if self.instances is not None and self.excepted:
            raise Invalid([FieldError(("except",), "goes with all instances, not with named ones")])
        _storable(("reason",), self.reason)
        for name in (*(self.instances or ()), *self.excepted):
            _storable(("instances",), name)
        return OverrideWish(
            mode=self.mode,
            reason=self.reason,
            expires_at=expires_at,
            instances=self.instances,
            excepted=self.excepted,
        )


class ReleaseIn(Schema):
    reason: Reason


class CommandIn(Schema):
    command: Literal["trip", "reset"]
    reason: Reason
    instances: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None


class OverrideOut(Schema):
    id: str
    breaker: str
    mode: Mode
    reason: str
    by: str
    instances: list[str] | None
    excepted: Annotated[list[str], Field(serialization_alias="except")]
    created_at: datetime
    expires_at: datetime | None
    revision: int

    @classmethod
    def of(cls, override: Override) -> OverrideOut:
        return cls(
            id=str(override.pk),
            breaker=str(override.breaker_id),
            mode=Mode(override.mode),
            reason=override.reason,
            by=override.by_name,
            instances=override.instances,
            excepted=override.excepted,
            created_at=override.created_at,
            expires_at=override.expires_at,
            revision=override.revision,
        )


class ReleaseOut(Schema):
    revision: int


class CommandOut(Schema):
    id: str
    command: Literal["trip", "reset"]
    instances: list[str]
    revision: int
    expires_in: float


def _storable(loc: tuple[str, ...], text: str) -> None:
    if "\0" in text:
        raise Invalid([FieldError(loc, "must not hold NUL")])


@router.get("/breakers", response=SummaryPage, tags=["breakers"])
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
    items = [SummaryOut.model_validate(_plain(summary)) for summary in found[:limit]]
    return SummaryPage(items=items, next=encode(asked, [int(items[-1].id)]) if more else None)


def _plain(summary: Any) -> dict[str, Any]:

    return dict(msgspec.to_builtins(summary, builtin_types=(datetime,)))


@router.get("/breakers/{breaker_id}", response=SummaryOut, tags=["breakers"])
def get_breaker(request: Authed, breaker_id: str, response: HttpResponse) -> SummaryOut:
    """One breaker; its revision is the ETag."""
    access.require(request.auth, Scope.READ)
    summary = board.summary_of(request.auth, breaker_id)
    response["ETag"] = f'"{summary.revision}"'
    return SummaryOut.model_validate(_plain(summary))


@router.get("/breakers/{breaker_id}/instances", response=Rows, tags=["breakers"])
def get_breaker_instances(
    request: Authed, breaker_id: str, limit: Limit = LIMIT_DEFAULT, cursor: str = ""
) -> Rows:
    """The breaker inside each instance that is not retired: state, and what was applied."""
    breaker = access.breaker_to_see(request.auth, breaker_id)
    items, next_ = instances_of(breaker, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)


@router.get("/breakers/{breaker_id}/events", response=Rows, tags=["breakers"])
def get_breaker_events(
    request: Authed,
    breaker_id: str,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
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


@router.put(
    "/breakers/{breaker_id}/override", response=OverrideOut, by_alias=True, tags=["control"]
)
def put_override(
    request: Authed,
    breaker_id: str,
    body: OverrideIn,
    response: HttpResponse,
    if_match: Annotated[str | None, Header(alias="If-Match")] = None,
) -> OverrideOut:
    """Forces the breaker open or closed until it expires or is released."""
    breaker = access.breaker_to_operate(request.auth, breaker_id)
    now = timezone.now()
    override = override_breaker(
        breaker,
        wish=body.wish(now),
        by=request.auth,
        now=now,
        expected_revision=_revision(if_match),
    )
    response["ETag"] = f'"{override.revision}"'
    return OverrideOut.of(override)


def _revision(if_match: str | None) -> int | None:
    """The revision in an If-Match header; `*` and none at all match any."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().strip('"')
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Invalid([FieldError(("If-Match",), 'expected a revision, as in "7"')])
    return int(text)


@router.delete("/breakers/{breaker_id}/override", response=ReleaseOut, tags=["control"])
def delete_override(request: Authed, breaker_id: str, body: ReleaseIn) -> ReleaseOut:
    """Releases the breaker to its own judgement."""
    breaker = access.breaker_to_operate(request.auth, breaker_id)
    _storable(("reason",), body.reason)
    revision = release_breaker(breaker, reason=body.reason, by=request.auth, now=timezone.now())
    return ReleaseOut(revision=revision)


@router.post("/breakers/{breaker_id}/commands", response={202: CommandOut}, tags=["control"])
def post_command(request: Authed, breaker_id: str, body: CommandIn) -> Status[CommandOut]:
    """Trips the breaker (open now, then it recovers by itself) or resets it (closed, counters cleared)."""
    breaker = access.breaker_to_operate(request.auth, breaker_id)
    _storable(("reason",), body.reason)
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


@router.get("/services", response=Rows, tags=["registry"])
def get_services(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> Rows:
    """Services with their numbers of breakers and instances."""
    access.require(request.auth, Scope.READ)
    items, next_ = services_seen(request.auth, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)


@router.get("/instances", response=Rows, tags=["registry"])
def get_instances(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> Rows:
    """Instances that are not retired."""
    access.require(request.auth, Scope.READ)
    items, next_ = instances_seen(request.auth, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)


@router.get("/targets", response=Rows, tags=["registry"])
def get_targets(request: Authed) -> Rows:
    """What breakers guard, with the number of breakers on each."""
    access.require(request.auth, Scope.READ)
    return Rows(items=targets_seen(request.auth), next=None)


@router.get("/overrides", response=Rows, tags=["control"])
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


@router.get("/audit", response=Rows, tags=["access"])
def get_audit(
    request: Authed,
    environment: str = "",
    service: str = "",
    action: str = "",
    actor: str = "",
    subject: str = "",
    limit: Limit = LIMIT_DEFAULT,
    cursor: str = "",
) -> Rows:
    """Who did what, when and why, newest first; a limited actor sees what lies within its limits."""
    access.require(request.auth, Scope.OPERATE)
    query = {
        "environment": environment,
        "service": service,
        "action": action,
        "actor_name": actor,
        "subject_id": subject,
    }
    rows = audit_seen(request.auth).filter(
        **{name: value for name, value in query.items() if value}
    )
    found, next_ = page(
        rows,
        order=[("at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query=query,
    )
    return Rows(items=[_entry(row) for row in found], next=next_)


def audit_seen(actor: Actor) -> Any:
    """The entries within the actor's limits; what names no environment is for the unlimited."""
    rows = AuditEntry.objects.all()
    if actor.environments is not None:
        rows = rows.filter(environment__in=actor.environments)
    if actor.services is not None:
        rows = rows.filter(service__in=actor.services)
    return rows


def _entry(row: AuditEntry) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "at": told_time(row.at),
        "actor": {"kind": row.actor_kind, "id": str(row.actor_id or ""), "name": row.actor_name},
        "action": row.action,
        "environment": row.environment,
        "service": row.service,
        "subject": {"kind": row.subject_kind, "id": row.subject_id, "name": row.subject},
        "reason": row.reason,
        "before": row.before,
        "after": row.after,
        "address": row.address,
        "request_id": row.request_id,
    }


@router.get("/me", response=dict[str, Any], tags=["access"])
def get_me(request: Authed) -> dict[str, Any]:
    """Who asks, what it may do, and within which limits (null: none)."""
    actor = request.auth
    return {
        "kind": actor.kind,
        "id": str(actor.id),
        "name": actor.name,
        "can": sorted(actor.can),
        "environments": _sorted(actor.environments),
        "services": _sorted(actor.services),
    }


def _sorted(names: frozenset[str] | None) -> Sequence[str] | None:
    return None if names is None else sorted(names)


@router.get("/version", response=dict[str, str], tags=["access"])
def get_version(request: Authed) -> dict[str, str]:
    """The version of the program and of its API."""
    access.require(request.auth, Scope.READ)
    return {"version": VERSION, "api": "1"}
