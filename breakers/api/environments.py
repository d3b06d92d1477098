"""Environments and the limits on control in them."""

from __future__ import annotations

from typing import Annotated

from ninja import Router, Schema
from pydantic import Field

from breakers import access
from breakers.api.auth import ADMIN, READ
from breakers.api.body import Body, HandBody
from breakers.api.shapes import Authed, Limit, Rows
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.guards.judge import Limits
from breakers.guards.limits import environment_of, limit_environment, limits_of, told
from breakers.models import Environment, Scope

router = Router(tags=["environments"])


# Not Ninja's own Schema, which takes anything for an object without its fields: a limit that was said wrongly
# must not become none. For the same reason a guard says its figure.
class GuardIn(Body):
    max_forced_percent: (
        Annotated[
            int,
            Field(ge=0, le=100, description="of a service's live breakers, rounded up"),
        ]
        | None
    )


class FourEyesIn(Body):
    above: Annotated[
        int,
        Field(ge=0, le=1_000_000, description="breakers that one touches in 15 minutes"),
    ]


class LimitsIn(HandBody):
    """The limits that hold from now on; what is not said, or null, limits nothing."""

    guard: GuardIn | None = None
    confirm: bool = False
    four_eyes: FourEyesIn | None = None

    def limits(self) -> Limits:
        return Limits(
            max_forced_percent=self.guard.max_forced_percent if self.guard else None,
            confirm=self.confirm,
            four_eyes_above=self.four_eyes.above if self.four_eyes else None,
        )


class EnvironmentOut(Schema):
    name: str
    guard: GuardIn | None
    confirm: bool
    four_eyes: FourEyesIn | None

    @classmethod
    def of(cls, environment: Environment) -> EnvironmentOut:
        return cls(name=environment.name, **told(limits_of(environment)))


@router.get("/environments", auth=READ, response=Rows)
def get_environments(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> Rows:
    """Environments with the limits on control in them."""
    found, next_ = page(
        access.environments_for(request.auth),
        order=[("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "environments"},
    )
    return Rows(items=[EnvironmentOut.of(row).model_dump() for row in found], next=next_)


# A name may have a slash in it.
@router.get("/environments/{path:name}", auth=READ, response=EnvironmentOut)
def get_environment(request: Authed, name: str) -> EnvironmentOut:
    """The limits on control in an environment."""
    return EnvironmentOut.of(environment_of(request.auth, Scope.READ, name))


@router.put("/environments/{path:name}", auth=ADMIN, response=EnvironmentOut)
def put_environment(request: Authed, name: str, body: LimitsIn) -> EnvironmentOut:
    """Limits what persons and keys may do at once in an environment that something has been heard of.

    `guard.max_forced_percent`: at most this part of a service's live breakers, rounded up, may be forced; `confirm`:
    each control call must carry `"confirm": NAME`; `four_eyes.above`: who touches more breakers than this within 15
    minutes needs another person's approval. Releases are never held up.
    """
    environment = environment_of(request.auth, Scope.ADMIN, name)
    return EnvironmentOut.of(limit_environment(environment.pk, body.limits(), by=request.auth))
