"""Which breakers somebody wants to see: the query of `GET breakers`, and the limits of who asks. Pure."""

from __future__ import annotations

from typing import Annotated, Protocol

from msgspec import Meta, Struct

from breakers.access import Actor
from breakers.errors import FieldError, Invalid
from breakers.states import State
from breakers.wire import NAME_MAX

_Text = Annotated[str, Meta(max_length=NAME_MAX)]


class Match(Struct, frozen=True):
    """All given ones must hold; an empty one holds always. `state` is a comma list."""

    environment: _Text = ""
    service: _Text = ""
    state: _Text = ""
    target: _Text = ""
    q: _Text = ""
    """Words, each of which occurs in environment, service, breaker or target, whatever its case."""

    @property
    def is_everything(self) -> bool:
        """Whether it leaves nothing out, blanks and lone commas included. Raises Invalid as `states`."""
        named = self.environment or self.service or self.target
        return not (named or self.states() or self.q.split())

    def states(self) -> frozenset[str]:
        """The states asked for; raises Invalid for one that is none."""
        asked = [item.strip() for item in self.state.split(",") if item.strip()]
        for item in asked:
            if item not in set(State):
                raise Invalid([FieldError(("state",), f"“{item}” is none of {', '.join(State)}")])
        return frozenset(asked)


class Limits(Struct, frozen=True):
    """What an actor may see at all; None is no limit."""

    environments: frozenset[str] | None = None
    services: frozenset[str] | None = None

    @classmethod
    def of(cls, actor: Actor) -> Limits:
        return cls(actor.environments, actor.services)


class Matchable(Protocol):
    """What a summary, of now or of then, is chosen by."""

    @property
    def environment(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def breaker(self) -> str: ...
    @property
    def target(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    @property
    def states(self) -> dict[str, int]: ...


class Filter:
    """A match within limits, made ready for many summaries. Raises Invalid."""

    def __init__(self, match: Match, limits: Limits) -> None:
        for name in match.__struct_fields__:
            if "\0" in getattr(match, name):  # which PostgreSQL would not even be asked for
                raise Invalid([FieldError((name,), "must not hold NUL")])
        self.match = match
        self.limits = limits
        self._states = match.states()
        self._words = tuple(match.q.casefold().split())

    def __contains__(self, summary: Matchable) -> bool:
        match, limits = self.match, self.limits
        if limits.environments is not None and summary.environment not in limits.environments:
            return False
        if limits.services is not None and summary.service not in limits.services:
            return False
        if match.environment and summary.environment != match.environment:
            return False
        if match.service and summary.service != match.service:
            return False
        if match.target and summary.target != match.target:
            return False
        if self._states and not self._in_states(summary):
            return False
        if self._words:
            text = (
                f"{summary.environment} {summary.service} {summary.breaker} {summary.target or ''}"
            )
            text = text.casefold()
            return all(word in text for word in self._words)
        return True

    def _in_states(self, summary: Matchable) -> bool:
        if summary.state in self._states:
            return True
        # A lost instance counts as unknown and is not live, so only the summary speaks of unknown.
        return any(
            state in self._states and state != State.UNKNOWN and count
            for state, count in summary.states.items()
        )
