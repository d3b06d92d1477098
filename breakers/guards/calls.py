"""The control calls that guards are about, as they are made at once or kept until somebody approves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from breakers.access import Actor
from breakers.desired.command import command_breaker
from breakers.desired.many import Reach, override_many
from breakers.desired.override import OverrideWish, override_breaker
from breakers.desired.permit import ORDINARY, Permit
from breakers.desired.plan import plan_override
from breakers.errors import NotFound, RevisionConflict, SetChanged
from breakers.live.match import Match
from breakers.models import Breaker, Command, Override, PlannedOverride

Done = TypeVar("Done", covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class By:
    """Who does it, when, and by what permit."""

    actor: Actor
    now: datetime
    permit: Permit = ORDINARY


class Call(Protocol[Done]):
    """What a control call would do."""

    @property
    def breakers(self) -> Sequence[int]: ...
    @property
    def forces(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    def perform(self, by: By) -> Done:
        """Does it, in the caller's transaction. Raises whatever its verb does."""
        ...


class OverrideCall(msgspec.Struct, frozen=True, kw_only=True, tag="override", tag_field="kind"):
    """One breaker forced."""

    breaker: int
    wish: OverrideWish
    expected: tuple[int, ...] | None = None
    """The revisions at which it may be made."""

    forces = True

    @property
    def breakers(self) -> Sequence[int]:
        return [self.breaker]

    @property
    def reason(self) -> str:
        return self.wish.reason

    def perform(self, by: By) -> Override | PlannedOverride:
        wish = _taking_effect(self.wish, by.now)
        force = override_breaker if wish.starts_at is None else plan_override
        return force(
            _breaker(self.breaker),
            wish=wish,
            by=by.actor,
            now=by.now,
            expected=self.expected,
            permit=by.permit,
        )

    def told(self) -> dict[str, Any]:
        return _told(self.wish)


class ManyCall(msgspec.Struct, frozen=True, kw_only=True, tag="overrides", tag_field="kind"):
    """Every breaker of a match forced, all or none; `breakers` are those that it would touch."""

    breakers: tuple[int, ...]
    match: Match
    wish: OverrideWish
    digest: str | None = None

    forces = True

    @property
    def reason(self) -> str:
        return self.wish.reason

    def perform(self, by: By) -> tuple[Reach, Sequence[Override | PlannedOverride]]:
        reach, overrides = override_many(
            self.breakers,
            self.match,
            wish=_taking_effect(self.wish, by.now),
            by=by.actor,
            now=by.now,
            digest=self.digest,
            permit=by.permit,
        )
        if by.permit.approved_by is not None and len(overrides) < len(self.breakers):
            raise SetChanged("Not all of the breakers match any more.")
        return reach, overrides

    def told(self) -> dict[str, Any]:
        match = {name: value for name, value in msgspec.to_builtins(self.match).items() if value}
        return {"match": match, **_told(self.wish)}


class CommandCall(msgspec.Struct, frozen=True, kw_only=True, tag="command", tag_field="kind"):
    """One breaker tripped or reset."""

    breaker: int
    command: Literal["trip", "reset"]
    reason: str
    instances: tuple[str, ...] | None = None

    forces = False

    @property
    def breakers(self) -> Sequence[int]:
        return [self.breaker]

    def perform(self, by: By) -> Command:
        return command_breaker(
            _breaker(self.breaker),
            command=self.command,
            reason=self.reason,
            instances=self.instances,
            by=by.actor,
            now=by.now,
            approved_by=by.permit.approved_by,
        )

    def told(self) -> dict[str, Any]:
        return {"command": self.command, "instances": self.instances}


AnyCall = OverrideCall | ManyCall | CommandCall


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A call as an approval keeps it, with what it carried."""

    call: AnyCall
    confirm: str | None = None
    break_glass: str | None = None

    def to_json(self) -> Any:
        """The same call said twice is kept as the same text: a span counts from when it takes effect."""
        kept = self
        if not isinstance(self.call, CommandCall) and self.call.wish.lasts is not None:
            wish = replace(self.call.wish, expires_at=None)
            kept = msgspec.structs.replace(self, call=msgspec.structs.replace(self.call, wish=wish))
        return msgspec.to_builtins(kept)

    @classmethod
    def of(cls, said: Any) -> Kept:
        return msgspec.convert(said, cls)

    def told(self) -> dict[str, Any]:
        """As the API has it: the body of the call, with its kind."""
        return {"kind": self.call.__struct_config__.tag, **self.call.told()} | (
            {"break_glass": self.break_glass} if self.break_glass else {}
        )


def _taking_effect(wish: OverrideWish, now: datetime) -> OverrideWish:
    """Raises RevisionConflict where it would be over before it begins."""
    wish = wish.taking_effect(now)
    if wish.expires_at is not None and wish.expires_at <= now:
        raise RevisionConflict("The time at which it was to end is past.")
    return wish


def _told(wish: OverrideWish) -> dict[str, Any]:
    lasts, at = wish.lasts, wish.expires_at
    return {
        "mode": wish.mode.value,
        "instances": None if wish.instances is None else list(wish.instances),
        "except": list(wish.excepted),
        "starts_at": wish.starts_at and wish.starts_at.isoformat(),
        "expires_in": None if lasts is None else lasts.total_seconds(),
        "expires_at": None if lasts is not None or at is None else at.isoformat(),
    }


def _breaker(id: int) -> Breaker:
    breaker = Breaker.objects.filter(pk=id).first()
    if breaker is None:
        raise NotFound("No such breaker.")
    return breaker
