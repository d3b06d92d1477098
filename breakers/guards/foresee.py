"""What a control call of a breaker would meet, for pages to say before it is made; the call itself is judged anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from breakers.access import Actor
from breakers.guards.judge import Asked, Forbidden, NeedsAnother, judge
from breakers.guards.look import look
from breakers.models import Breaker


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """The name to confirm it by, the guard that forbids forcing, and why another person is needed; None: not so."""

    confirm: str | None
    forbidden: Forbidden | None
    another: NeedsAnother | None


def foresee(breaker: Breaker, *, by: Actor, now: datetime) -> Outlook:
    """Read without a lock; the breaker's service and environment must be loaded."""
    environment = breaker.service.environment
    grounds = look([breaker.pk], by=by, now=now, lock=False).grounds
    force = judge(Asked(forces=True, confirm=environment.name), grounds)
    command = judge(Asked(forces=False, confirm=environment.name), grounds)
    return Outlook(
        confirm=environment.name if environment.confirm else None,
        forbidden=force if isinstance(force, Forbidden) else None,
        another=command if isinstance(command, NeedsAnother) else None,
    )
