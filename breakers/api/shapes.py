"""What the API of breakers takes and gives; the descriptions go into its document."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from django.http import HttpRequest
from ninja import Query, Schema
from pydantic import ConfigDict, Field, StringConstraints

from breakers.access import Actor
from breakers.api.body import Body, HandBody, Instant, OneOf
from breakers.cursor import LIMIT_MAX
from breakers.desired.many import Reach, Touched
from breakers.desired.override import OverrideWish
from breakers.errors import FieldError, Invalid
from breakers.guards.approvals import may_approve, status_of
from breakers.guards.calls import Kept
from breakers.live.match import Match
from breakers.live.past import SummaryThen
from breakers.models import Approval, Override, PlannedOverride
from breakers.renaming import current_service
from breakers.states import Mode, State
from breakers.wire import Summary

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
    by_kind: Literal["person", "key", "policy"]
    expires_at: datetime | None
    instances: list[str] | None
    applied: int | None = None
    pending: int | None = None
    refused: int | None = None
    """Of the pending: instances that reported why they could not."""
    unreachable: int | None = None
    """Of the pending: instances known by HTTP events alone, which never hear of it."""
    not_known: int | None = None
    """Names in `instances` that no instance of the breaker bears, but for retired ones: mistyped, or to come."""
    since: datetime | None = None


class SummaryOut(Schema):
    """A breaker in one line; rates in percent, null where unknown. Of a past instant, rates, the revision, what was
    applied and the time of the last change are null: they are not in history."""

    id: str
    environment: str
    service: str
    breaker: str
    target: str | None
    state: State
    states: dict[str, int]
    instances: int
    agents: int | None = None
    """Live instances that an agent speaks for; the other live ones are known by events alone."""
    not_connected: int | None = None
    """Of the agents: not heard any more, and not lost yet."""
    untold: int | None = None
    """Live instances that have told metrics, say, and no state yet: unknown, and not lost."""
    since: datetime | None
    not_closed_since: datetime | None
    probe_due_at: datetime | None = None
    """When the first of the open instances lets a call through as a probe; in the past, it waits for that call."""
    naturally_open: int | None = None
    still_forced: int | None = None
    """Live instances with an agent that are forced though no override concerns them: they have not heard of its end."""
    failure_rate: float | None = None
    rate_of: Literal["trials", "before"] | None = None
    """Of what calls the rate is, if not of those of now: trial calls in an outage, or those before it closed."""
    calls_per_second: float | None = None
    override: OverrideCounts | None
    revision: int | None = None
    updated_at: datetime | None = None

    @classmethod
    def of(cls, summary: Summary | SummaryThen) -> SummaryOut:
        return cls.model_validate(msgspec.to_builtins(summary, builtin_types=(datetime,)))


class SummaryPage(Schema):
    items: list[SummaryOut]
    next: str | None


class Rows(Schema):
    """Any other list; the shape of an item is described by its call."""

    items: list[dict[str, Any]]
    next: str | None


class MatchQuery(Body):
    environment: Annotated[str, Field(max_length=200)] = ""
    service: Annotated[str, Field(max_length=200)] = ""
    state: Annotated[str, Field(max_length=200)] = ""
    target: Annotated[str, Field(max_length=200)] = ""
    q: Annotated[str, Field(max_length=200)] = ""

    def match(self) -> Match:
        return Match(self.environment, self.service, self.state, self.target, self.q)


class GuardedIn(HandBody):
    """What a control call carries for the limits of its environment."""

    confirm: Annotated[
        str,
        Field(max_length=200, description="the environment's name, where it wants that"),
    ] = ""
    break_glass: Annotated[
        Literal["max_forced_percent"] | None,
        Field(description="the guard past which the call is to go; audited, and fires rules"),
    ] = None


class OverrideIn(GuardedIn):
    """Exactly one of `expires_in` (seconds, from the start), `expires_at` and `no_expiry`. With `starts_at` it is
    planned: it stands from then on, and waits until then."""

    mode: OneOf[Mode]
    reason: Reason
    expires_in: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    expires_at: Instant | None = None
    no_expiry: bool = False
    instances: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    excepted: Annotated[list[Name], Field(max_length=1000, alias="except")] = []
    starts_at: Instant | None = None

    def wish(self, now: datetime) -> OverrideWish:
        """Raises Invalid unless the expiry is said once and lies after the start, within a year of it."""
        if self.starts_at is not None and not now < self.starts_at <= now + _LONGEST:
            # One that is past is a mistake more often than not, and would cut traffic at once.
            raise Invalid([FieldError(("starts_at",), "must lie ahead, at most 366 days")])
        said = [self.expires_in is not None, self.expires_at is not None, self.no_expiry]
        if sum(said) != 1:
            where = "expires_at" if self.expires_at is not None and sum(said) > 1 else "expires_in"
            text = "give exactly one of expires_in, expires_at and no_expiry"
            raise Invalid([FieldError((where,), text)])
        start = self.starts_at or now
        expires_at = self.expires_at
        if self.expires_in is not None:
            if self.expires_in > _LONGEST.total_seconds():
                raise Invalid([FieldError(("expires_in",), "must be at most 366 days")])
            expires_at = start + timedelta(seconds=self.expires_in)
        elif expires_at is not None and not start < expires_at <= start + _LONGEST:
            ahead = "must lie ahead" if self.starts_at is None else "must lie after starts_at"
            raise Invalid([FieldError(("expires_at",), f"{ahead}, at most 366 days")])
        if self.instances is not None and self.excepted:
            raise Invalid([FieldError(("except",), "goes with all instances, not with named ones")])
        storable(("reason",), self.reason)
        for name in (*(self.instances or ()), *self.excepted):
            storable(("instances",), name)
        return OverrideWish(
            mode=self.mode,
            reason=self.reason,
            expires_at=expires_at,
            instances=self.instances,
            excepted=self.excepted,
            starts_at=self.starts_at,
            lasts=None if self.expires_in is None else timedelta(seconds=self.expires_in),
        )


class ManyMatch(MatchQuery, Body):
    """The query of `GET breakers`, of the board as it is now. What is passed over in it would reach further than it
    means."""

    model_config = ConfigDict(extra="forbid")

    at: Any = None
    """Refused: a hand on the breakers of a past board would touch others than it means."""


class ManyIn(HandBody):
    """Which breakers, and whether it is only asked what would be touched."""

    match: ManyMatch
    everything: bool = False
    """Must be said where `match` is empty."""
    dry_run: bool = False
    digest: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Of a dry run: refused (412) if the set has changed since."""

    def chosen(self, actor: Actor) -> Match:
        """Raises Invalid for an empty match that was not meant, and for one of the past."""
        if self.match.at is not None:
            raise Invalid([FieldError(("match", "at"), "what is past cannot be touched")])
        said = self.match
        for name in Match.__struct_fields__:
            storable(("match", name), getattr(said, name))
        # By a former name one finds what it is called now.
        said.service = current_service(actor, said.service, environment=said.environment)
        match = said.match()
        try:
            is_everything = match.is_everything
        except Invalid as wrong:
            raise Invalid(
                [FieldError(("match", *error.loc), error.msg) for error in wrong.errors]
            ) from wrong
        if is_everything and not self.everything:
            raise Invalid(
                [FieldError(("match",), "matches every breaker: say so with `everything`")]
            )
        return match


class OverridesIn(ManyIn, OverrideIn):
    """An override of every breaker that matches."""


class ReleasesIn(ManyIn):
    reason: Reason


class ReleaseIn(HandBody):
    reason: Reason
    planned: bool = False
    """Cancels the planned override instead, and leaves the one that stands."""


class CommandIn(GuardedIn):
    command: Literal["trip", "reset"]
    reason: Reason
    instances: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None


class OverrideOut(Schema):
    """An override. A planned one has `starts_at`, and the revision of its planning. `broke` is the guard that was
    broken for it, and `approved_by` the other person, where it needed one."""

    id: str
    status: Literal["standing", "planned"]
    breaker: str
    mode: Mode
    reason: str
    by: str
    instances: list[str] | None
    excepted: Annotated[list[str], Field(serialization_alias="except")]
    created_at: datetime
    starts_at: datetime | None
    expires_at: datetime | None
    broke: str | None
    approved_by: str | None
    revision: int

    @classmethod
    def of(cls, override: Override | PlannedOverride) -> OverrideOut:
        is_planned = isinstance(override, PlannedOverride)
        return cls(
            id=str(override.pk),
            status="planned" if is_planned else "standing",
            breaker=str(override.breaker_id),
            mode=Mode(override.mode),
            reason=override.reason,
            by=override.by_name,
            instances=override.instances,
            excepted=override.excepted,
            created_at=override.created_at,
            starts_at=override.starts_at if isinstance(override, PlannedOverride) else None,
            expires_at=override.expires_at,
            broke=override.broke,
            approved_by=override.approved_by,
            revision=override.revision,
        )


class DetailOut(SummaryOut):
    planned: OverrideOut | None


class OverrideMadeOut(OverrideOut):
    unreachable: list[str]
    """Instances within its scope that are known by HTTP events alone and cannot obey it, and names as `not_known`."""


class TouchedOut(Schema):
    """A breaker that is touched, as it was just before: `override` is what would be replaced or released,
    `planned` the start of what waits where another plan would replace it, `instances` are those within the scope, and
    `unreachable` those of them that cannot obey, and the names in the call's `instances` that no instance of any
    breaker touched bears, but for retired ones: mistyped, or to come."""

    id: str
    environment: str
    service: str
    breaker: str
    target: str | None
    state: State
    revision: int
    override: OverrideCounts | None
    planned: datetime | None
    instances: list[str]
    unreachable: list[str]

    @classmethod
    def of(cls, touched: Touched) -> TouchedOut:
        return cls.model_validate(msgspec.to_builtins(touched, builtin_types=(datetime,)))


class ManyOut(Schema):
    """What would be touched (`dry_run`), or was; then `request_id` finds all of it in the audit log."""

    dry_run: bool
    digest: str
    request_id: str | None
    breakers: list[TouchedOut]

    @classmethod
    def fields_of(cls, reach: Reach, *, dry_run: bool, by: Actor) -> dict[str, Any]:
        return {
            "dry_run": dry_run,
            "digest": reach.digest,
            "request_id": None if dry_run else by.request_id,
            "breakers": [TouchedOut.of(one) for one in reach.breakers],
        }


class OverridesOut(ManyOut):
    overrides: list[OverrideOut]


class ReleasedOut(Schema):
    breaker: str
    revision: int


class ReleasesOut(ManyOut):
    released: list[ReleasedOut]


class ReleaseOut(Schema):
    revision: int


class CommandOut(Schema):
    id: str
    command: Literal["trip", "reset"]
    instances: list[str]
    unreachable: list[str]
    """Those of them that are known by HTTP events alone: they cannot obey it."""
    revision: int
    expires_in: float


class ApprovalOut(Schema):
    """A control call that needs another person. `call` is what it would do, `why` what asks for the other person,
    `note` what was said to it, or why it took no effect, and `may_approve` whether the caller is another person."""

    id: str
    status: Literal["pending", "approved", "rejected", "outdated", "expired"]
    environments: list[str]
    breakers: list[str]
    call: dict[str, Any]
    reason: str
    why: str
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    note: str
    may_approve: bool

    @classmethod
    def of(cls, approval: Approval, now: datetime, by: Actor) -> ApprovalOut:
        return cls.model_validate(
            {
                "id": str(approval.pk),
                "status": status_of(approval, now),
                "environments": approval.environments,
                "breakers": [str(id) for id in approval.breakers],
                "call": Kept.of(approval.call).told(),
                "reason": approval.reason,
                "why": approval.why,
                "asked_by": approval.by_name,
                "asked_at": approval.created_at,
                "expires_at": approval.expires_at,
                "decided_by": approval.decided_by,
                "decided_at": approval.decided_at,
                "note": approval.note,
                "may_approve": may_approve(by, approval),
            }
        )


def storable(loc: tuple[str, ...], text: str) -> None:
    if "\0" in text:
        raise Invalid([FieldError(loc, "must not hold NUL")])
