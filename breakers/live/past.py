"""The board as it was at a past instant, by `occurred_at` and by all that is known now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from django.db import connection
from msgspec import Struct

from breakers.access import Actor
from breakers.authors import author_words
from breakers.errors import FieldError, Invalid
from breakers.history.edge import kept_history
from breakers.live.board import narrowed
from breakers.live.match import Filter, Limits, Match
from breakers.sql import statements
from breakers.states import GRAVEST_FIRST, State
from breakers.wire import told_time

_SQL = statements("history")


class OverrideThen(Struct, frozen=True, kw_only=True):
    """The override that stood; how far it had got is not in history."""

    mode: str
    reason: str
    by: str
    by_kind: Literal["person", "key", "policy"]
    expires_at: datetime | None
    instances: list[str] | None
    since: datetime

    @property
    def author(self) -> str:
        return author_words(self.by_kind, self.by)


class SummaryThen(Struct, frozen=True, kw_only=True):
    """What history knows of a `wire.Summary`; its target is today's."""

    id: str
    environment: str
    service: str
    breaker: str
    target: str | None
    state: str
    states: dict[str, int]
    instances: int
    since: datetime | None
    not_closed_since: datetime | None
    override: OverrideThen | None


def board_at(
    actor: Actor,
    match: Match,
    *,
    at: datetime,
    now: datetime,
    after: int = 0,
    limit: int | None = None,
) -> list[SummaryThen]:
    """What the actor sees of the match, as `board` gives it now: by id; `after` an id, at most `limit`.

    Raises Invalid where nobody knows: ahead of now, and before history's edge.
    """
    if at > now:
        raise Invalid([FieldError(("at",), "must not be ahead of now")])
    chosen = Filter(match, Limits.of(actor))
    statement, parameters = narrowed(
        _SQL["summaries_then"], match, chosen.limits, after=after, limit=limit
    )
    found: list[SummaryThen] = []
    with kept_history() as edge, connection.cursor() as cursor:
        _check_edge(at, edge)
        cursor.execute(statement, parameters | {"at": at})
        assert cursor.description is not None
        names = [column[0] for column in cursor.description]
        for values in cursor:
            summary = _summary(dict(zip(names, values, strict=True)))
            if summary in chosen:
                found.append(summary)
                if limit is not None and len(found) >= limit:
                    break
    return found


def _check_edge(at: datetime, edge: datetime | None) -> None:
    if edge is not None and at < edge:
        raise Invalid(
            [FieldError(("at",), f"must not be before {told_time(edge)}, where history begins")]
        )


def _summary(found: Mapping[str, Any]) -> SummaryThen:
    states = {state.value: found[state.value] for state in GRAVEST_FIRST if found[state.value]}
    gravest = State(next(iter(states), State.UNKNOWN))
    override = None
    if found["mode"] is not None:
        override = OverrideThen(
            mode=found["mode"],
            reason=found["reason"],
            by=found["by_name"],
            by_kind=found["by_kind"],
            expires_at=found["expires_at"],
            since=found["override_since"],
            instances=found["scope"],
        )
    return SummaryThen(
        id=str(found["id"]),
        environment=found["environment"],
        service=found["service"],
        breaker=found["breaker"],
        target=found["target"],
        state=gravest,
        states=states,
        instances=found["instances"],
        since=found[f"{gravest}_since"],
        not_closed_since=found["not_closed_since"],
        override=override,
    )
