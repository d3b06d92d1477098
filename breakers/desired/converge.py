"""What an instance is owed of what is wished of a breaker. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from breakers.wire import Desired, DesiredCommand


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """The desired state of one breaker as read; times are seconds that remain, None is no end."""

    breaker_id: int
    breaker: str
    revision: int
    number: int = 0
    """Of the change by which it came to be this: it grows within the service."""
    mode: Literal["forced_open", "forced_closed"] | None = None
    reason: str | None = None
    instances: Collection[str] | None = None
    excepted: Collection[str] = ()
    expires_in: float | None = None
    command_id: UUID | None = None
    command: Literal["trip", "reset"] | None = None
    command_instances: Collection[str] = ()
    command_expires_in: float | None = None

    def includes(self, instance: str) -> bool:
        """Whether the override's scope holds this instance; by name, so those to come are in it too."""
        return (
            self.instances is None or instance in self.instances
        ) and instance not in self.excepted


class Part(NamedTuple):
    """What of a wish is meant for an instance; the same frame does for all of equal part."""

    forced: bool
    commanded: bool


def part_of(wish: Wish, instance: str) -> Part:
    return Part(
        forced=wish.mode is not None and wish.includes(instance),
        commanded=wish.command is not None and instance in wish.command_instances,
    )


def owed(wish: Wish, part: Part, *, passed_s: float = 0.0) -> Desired:
    """The frame for the instances of this part, `passed_s` seconds after the wish was read.

    Outside the scope the mode is null, and is to be confirmed too.
    """
    forced = part.forced
    if forced and wish.expires_in is not None and wish.expires_in <= passed_s:
        forced = False
    command = None
    if (
        part.commanded
        and wish.command is not None
        and wish.command_expires_in is not None
        and wish.command_expires_in > passed_s
    ):
        command = DesiredCommand(
            id=str(wish.command_id),
            command=wish.command,
            expires_in=round(wish.command_expires_in - passed_s, 3),
        )
    return Desired(
        breaker=wish.breaker,
        revision=wish.revision,
        mode=wish.mode if forced else None,
        reason=wish.reason if forced else None,
        expires_in=round(wish.expires_in - passed_s, 3)
        if forced and wish.expires_in is not None
        else None,
        command=command,
    )
