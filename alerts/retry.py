"""When to try again: a decision without effects.

Waits as the contract gives them, and after the last of them each hour, until the delivery is given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.channels import Outcome, Sent

WAITS_S = (2, 10, 60, 300, 1800, 3600)
JITTER = 0.2
"""A fifth either way, so that what failed together does not come back together."""


@dataclass(frozen=True, slots=True)
class Done:
    """It was sent."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    at: datetime


@dataclass(frozen=True, slots=True)
class Dead:
    """No more tries by itself; `why` is for people."""

    why: str


NextStep = Done | RetryAt | Dead


def next_step(
    outcome: Outcome, *, attempts: int, give_up_at: datetime, now: datetime, luck: float
) -> NextStep:
    """After the `attempts`-th attempt; `luck` is a random number from 0 to 1."""
    if isinstance(outcome, Sent):
        return Done()
    if outcome.gone:
        return Dead("The receiver is gone (410): the channel was switched off.")
    if outcome.final:
        return Dead("Trying again would not help.")
    wait = WAITS_S[min(attempts, len(WAITS_S)) - 1] * (1 + JITTER * (2 * luck - 1))
    if now + timedelta(seconds=wait) > give_up_at:
        return Dead("Given up after 72 hours of trying.")
    # A receiver may ask for more time, though not for more than there is: then one last try remains.
    asked = now + timedelta(seconds=max(wait, outcome.retry_after or 0.0))
    return RetryAt(min(asked, give_up_at))
