"""What hands tripped: an opening that somebody asked for is no evidence of what is called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from alerts.policies.fleet import ByHand
from breakers.desired.command import HEARD_WITHIN
from breakers.models import Command

_BEHIND = timedelta(seconds=5)
"""So far may an instance's clock be behind ours, and nobody is told of it."""


def trips_by_hand(breakers: Collection[int], *, since: datetime) -> dict[int, ByHand]:
    """By breaker, where there was such a command that an instance may have heard since then."""
    given: dict[int, list[Command]] = defaultdict(list)
    for command in Command.objects.filter(
        breaker__in=breakers, command="trip", expires_at__gte=since
    ):
        given[command.breaker_id].append(command)
    return {breaker: _any_of(commands) for breaker, commands in given.items()}


def trip_by_hand(breaker_id: int, instance: str, at: datetime) -> Command | None:
    """The command by which this instance of a breaker opened at that time, if any was."""
    return (
        Command.objects.filter(
            breaker=breaker_id,
            command="trip",
            instances__contains=[instance],
            created_at__range=(at - HEARD_WITHIN, at + _BEHIND),
        )
        .order_by("-created_at")
        .first()
    )


def _any_of(commands: Collection[Command]) -> ByHand:
    def by_hand(instance: str, at: datetime) -> bool:
        return any(
            instance in one.instances
            and one.created_at - _BEHIND <= at <= one.created_at + HEARD_WITHIN
            for one in commands
        )

    return by_hand
