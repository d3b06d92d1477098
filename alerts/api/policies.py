from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from alerts.access import policies_for, policy_of
from alerts.api.forms import Authed, Limit, Name, Reason
from alerts.models import Policy, PolicyLever, PolicyMode
from alerts.policies.acts import holds_of
from alerts.policies.fleet import HOLD_AT_MOST_S, Terms
from alerts.policy_changes import (
    PolicyWish,
    change_policy,
    create_policy,
    delete_policy,
    lever_now,
    pull_lever,
    read_breaker_matchers,
    told,
)
from breakers.api.auth import ADMIN, OPERATE, READ
from breakers.api.body import Body, HandBody, OneOf
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.errors import FieldError, Forbidden, Invalid
from breakers.models import Scope

router = Router()
_Most = Annotated[int, Field(ge=1, le=10_000)]
_Seconds = Annotated[int, Field(ge=1, le=HOLD_AT_MOST_S)]


class TripIn(Body):
    """When to act: so many live instances (`count` or `percent`, exactly one, and at least `min_instances`)
    opened within `window` seconds, and have not closed since."""

    count: _Most | None = None
    percent: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    min_instances: _Most = 2
    window: _Seconds = 60


class ProbeIn(Body):
    """How to find out whether it is over: `instances` at a time are let through, until `successes` have closed."""

    instances: _Most = 1
    successes: _Most = 3


class PolicyIn(Body):
    """A policy as the caller wants it. Matchers may name environment, service, breaker and target."""

    name: Name
    enabled: bool = True
    mode: OneOf[PolicyMode] = PolicyMode.ENFORCE
    matchers: list[str] = []
    trip: TripIn
    hold: _Seconds = 60
    probe: ProbeIn = ProbeIn()
    max_breakers: _Most = 5

    def wish(self) -> PolicyWish:
        """Raises Invalid."""
        trip, probe = self.trip, self.probe
        if (trip.count is None) == (trip.percent is None):
            raise Invalid([FieldError(("trip", "count"), "give either a count or a percentage")])
        return PolicyWish(
            name=self.name,
            enabled=self.enabled,
            mode=self.mode.value,
            matchers=read_breaker_matchers(self.matchers),
            terms=Terms(
                count=trip.count,
                percent=trip.percent,
                min_instances=trip.min_instances,
                window=trip.window,
                hold=self.hold,
                probes=probe.instances,
                successes=probe.successes,
            ),
            max_breakers=self.max_breakers,
        )


class TripOut(Schema):
    count: int | None = None
    percent: float | None = None
    min_instances: int
    window: int


class ProbeOut(Schema):
    instances: int
    successes: int


class PolicyOut(Schema):
    id: str
    name: str
    enabled: bool
    mode: PolicyMode
    matchers: list[str]
    trip: TripOut
    hold: int
    probe: ProbeOut
    max_breakers: int
    holds: list[str]
    """The breakers that it holds open now."""
    environments: list[str] | None
    """The limits of whoever made it; null: none."""
    services: list[str] | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, policy: Policy) -> PolicyOut:
        held = holds_of(policy.pk).order_by("breaker_id").values_list("breaker_id", flat=True)
        return cls(
            id=str(policy.pk),
            holds=[str(id) for id in held],
            environments=policy.environments,
            services=policy.services,
            created_at=policy.created_at,
            updated_at=policy.updated_at,
            **told(policy),
        )


class PolicyPage(Schema):
    items: list[PolicyOut]
    next: str | None


class LeverIn(HandBody):
    stopped: bool
    reason: Reason


class LeverOut(Schema):
    """Whether all policies are stopped, and whose word that is; `by` and `at` are null if it was never moved."""

    stopped: bool
    reason: str
    by: str | None
    at: datetime | None

    @classmethod
    def of(cls, lever: PolicyLever | None) -> LeverOut:
        if lever is None:
            return cls(stopped=False, reason="", by=None, at=None)
        return cls(stopped=lever.stopped, reason=lever.reason, by=lever.by_name, at=lever.at)


@router.get("", auth=READ, response=PolicyPage)
def get_policies(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> PolicyPage:
    """Policies, newest first."""
    found, next_ = page(
        policies_for(request.auth),
        order=[("created_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "policies"},
    )
    return PolicyPage(items=[PolicyOut.of(policy) for policy in found], next=next_)


@router.post("", auth=ADMIN, response={201: PolicyOut})
def post_policy(request: Authed, body: PolicyIn) -> Status[PolicyOut]:
    """Makes a policy; where enabled, it also judges at once what is open already."""
    policy = create_policy(body.wish(), by=request.auth, now=timezone.now())
    return Status(201, PolicyOut.of(policy))


@router.get("/lever", auth=READ, response=LeverOut)
def get_lever(request: Authed) -> LeverOut:
    """Whether all policies are stopped."""
    return LeverOut.of(lever_now())


@router.put("/lever", auth=OPERATE, response=LeverOut)
def put_lever(request: Authed, body: LeverIn) -> LeverOut:
    """Stops all policies at once and releases what they hold, or lets them act again. For callers without
    limits, as it reaches everything."""
    if request.auth.limited:
        raise Forbidden("The lever stops policies everywhere: it is for those without limits.")
    return LeverOut.of(
        pull_lever(stopped=body.stopped, reason=body.reason, by=request.auth, now=timezone.now())
    )


@router.get("/{policy_id}", auth=READ, response=PolicyOut)
def get_policy(request: Authed, policy_id: str) -> PolicyOut:
    """One policy."""
    return PolicyOut.of(policy_of(request.auth, Scope.READ, policy_id))


@router.put("/{policy_id}", auth=ADMIN, response=PolicyOut)
def put_policy(request: Authed, policy_id: str, body: PolicyIn) -> PolicyOut:
    """Replaces a policy. Unless only its name changes, what it holds is released and judged anew."""
    policy = policy_of(request.auth, Scope.ADMIN, policy_id)
    return PolicyOut.of(change_policy(policy.pk, body.wish(), by=request.auth, now=timezone.now()))


@router.delete("/{policy_id}", auth=ADMIN, response={204: None})
def remove_policy(request: Authed, policy_id: str) -> Status[None]:
    """Deletes a policy and releases what it holds."""
    policy = policy_of(request.auth, Scope.ADMIN, policy_id)
    delete_policy(policy.pk, by=request.auth, now=timezone.now())
    return Status(204, None)
