"""How a verdict is said to people. Pure."""

from __future__ import annotations

from breakers.guards.judge import Forbidden, NeedsAnother, Unconfirmed


def unconfirmed_words(verdict: Unconfirmed) -> str:
    if len(verdict.environments) == 1:
        return f"must be the environment's name, “{verdict.environments[0]}”, to confirm the call"
    names = ", ".join(verdict.environments)
    return f"each of {names} wants its calls confirmed by name: call for one at a time"


def forbidden_words(verdict: Forbidden) -> str:
    return (
        f"{verdict.guard}: {verdict.forced} of the {verdict.live} live breakers of {verdict.service} in "
        f"{verdict.environment} would be forced, and at most {verdict.most} may be."
    )


def another_words(verdict: NeedsAnother) -> str:
    breakers = "1 breaker" if verdict.touched == 1 else f"{verdict.touched} breakers"
    return (
        f"{breakers} in {verdict.environment} within 15 minutes; above {verdict.above}, another person must "
        "approve."
    )
