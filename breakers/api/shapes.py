"""What the API of breakers takes and gives; the descriptions go into its document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from django.http import HttpRequest
from ninja import Query, Schema
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from breakers.access import Actor
from breakers.cursor import LIMIT_MAX
from breakers.desired.override import OverrideWish
from breakers.errors import FieldError, Invalid
from breakers.live.match import Match
from breakers.models import Override
from breakers.states import Mode, State
from breakers.wire import Summary

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies beyond the calendar, in UTC") from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with a zone, in UTC: at the edge of the calendar not every one has a place there."""
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
    not_closed_since: datetime | None
    failure_rate: float | None
    calls_per_second: float | None
    override: OverrideCounts | None
    revision: int
    updated_at: datetime

    @classmethod
    def of(cls, summary: Summary) -> SummaryOut:
        return cls.model_validate(msgspec.to_builtins(summary, builtin_types=(datetime,)))


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
    expires_at: Instant | None = None
    no_expiry: bool = False
    instances: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    excepted: Annotated[list[Name], Field(max_length=1000, alias="except")] = []
    starts_at: Any = None

    def wish(self, now: datetime) -> OverrideWish:
        """Raises Invalid unless the expiry is said once and lies ahead, within a year."""
        if self.starts_at is not None:
            # Passed over in silence, a maintenance of tomorrow would cut traffic today.
            raise Invalid([FieldError(("starts_at",), "is not available yet")])
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
        storable(("reason",), self.reason)
        for name in (*(self.instances or ()), *self.excepted):
            storable(("instances",), name)
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


def storable(loc: tuple[str, ...], text: str) -> None:
    if "\0" in text:
        raise Invalid([FieldError(loc, "must not hold NUL")])
