"""The board as it is in the database now: summaries, for the API and pages (sync) and the hub (async)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connection
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from breakers.access import Actor, breaker_to_see
from breakers.errors import NotFound
from breakers.live.match import Filter, Limits, Match
from breakers.sql import statements
from breakers.states import GRAVEST_FIRST, State
from breakers.wire import RATES_COUNT_FOR_S, OverrideSummary, Summary

_SQL = statements("board")
_AGES = {"rates_count_for_s": RATES_COUNT_FOR_S}


class Row(NamedTuple):
    """A summary and the change number under which it was read."""

    id: int
    change: int
    summary: Summary
    rated_for_s: float | None = None
    """So long its rates say what is so, if nobody tells any others; None where there are none."""


def _row(found: Mapping[str, Any]) -> Row:
    states = {state.value: found[state.value] for state in GRAVEST_FIRST if found[state.value]}
    gravest = State.UNKNOWN
    if found["live"]:
        gravest = next((state for state in GRAVEST_FIRST if found[state.value]), State.UNKNOWN)
    override = None
    if found["mode"] is not None:
        override = OverrideSummary(
            mode=found["mode"],
            reason=found["reason"],
            by=found["by_name"],
            by_kind=found["by_kind"],
            expires_at=found["expires_at"],
            instances=found["scope"],
            applied=found["applied"],
            pending=found["pending"],
            refused=found["refused"],
            unreachable=found["deaf"],
            # A name is one instance's, so what is left of the names is nobody's.
            not_known=len(set(found["scope"])) - found["concerned"] if found["scope"] else 0,
            since=found["override_since"],
        )
    summary = Summary(
        id=str(found["id"]),
        environment=found["environment"],
        service=found["service"],
        breaker=found["breaker"],
        target=found["target"],
        state=gravest,
        states=states,
        instances=found["instances"],
        agents=found["agents"],
        not_connected=found["not_connected"],
        untold=found["untold"],
        since=found[f"{gravest}_since"] or found["gone_since"],
        not_closed_since=found["not_closed_since"],
        probe_due_at=found["probe_due_at"],
        naturally_open=found["naturally_open"],
        still_forced=found["still_forced"],
        failure_rate=_rounded(found["failure_rate"]),
        rate_of=found["rate_of"],
        calls_per_second=_rounded(found["calls_per_second"]),
        override=override,
        revision=found["revision"],
        updated_at=found["updated_at"],
    )
    return Row(found["id"], found["change"], summary, found["rated_for_s"])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def narrowed(
    statement: str,
    match: Match,
    limits: Limits,
    *,
    ids: Sequence[int] | None = None,
    after: int = 0,
    limit: int | None = None,
) -> tuple[sql.Composed, dict[str, Any]]:
    """A statement of breakers `b`, services `s` and environments `e`, by id, narrowed by what an index can serve;
    the rest is left to a Filter."""
    conditions = [sql.SQL("b.id > %(after)s")]
    parameters: dict[str, Any] = {"after": after}
    for column, value in (
        ("e.name", match.environment),
        ("s.name", match.service),
        ("b.target", match.target),
    ):
        if value:
            name = column.replace(".", "_")
            conditions.append(sql.SQL(f"{column} = %({name})s"))
            parameters[name] = value
    for column, names in (("e.name", limits.environments), ("s.name", limits.services)):
        if names is not None:
            name = "limit_" + column.replace(".", "_")
            conditions.append(sql.SQL(f"{column} = ANY(%({name})s)"))
            parameters[name] = sorted(names)
    if ids is not None:
        conditions.append(sql.SQL("b.id = ANY(%(ids)s)"))
        parameters["ids"] = list(ids)
    composed = (
        sql.SQL(statement)
        + sql.SQL(" WHERE ")
        + sql.SQL(" AND ").join(conditions)
        + sql.SQL(" ORDER BY b.id")
    )
    # What a Filter alone can judge may leave rows out, so the database cannot count for it.
    if limit is not None and not match.state and not match.q:
        composed += sql.SQL(" LIMIT %(limit)s")
        parameters["limit"] = limit
    return composed, parameters


async def read(
    connection: AsyncConnection[Any],
    *,
    match: Match | None = None,
    limits: Limits | None = None,
    ids: Sequence[int] | None = None,
    after: int = 0,
    limit: int | None = None,
) -> list[Row]:
    """The rows of these ids, or all that match, by id; `after` an id, and where neither states nor a search narrow it
    at most `limit`."""
    chosen = Filter(match or Match(), limits or Limits())
    statement, parameters = narrowed(
        _SQL["summaries"], chosen.match, chosen.limits, ids=ids, after=after, limit=limit
    )
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, parameters | _AGES)
        rows = [_row(found) for found in await cursor.fetchall()]
    return [row for row in rows if row.summary in chosen]


def _read_sync(
    match: Match,
    limits: Limits,
    *,
    ids: Sequence[int] | None = None,
    after: int = 0,
    limit: int | None,
) -> list[Row]:
    chosen = Filter(match, limits)
    found: list[Row] = []
    statement, parameters = narrowed(
        _SQL["summaries"], match, limits, ids=ids, after=after, limit=limit
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters | _AGES)
        assert cursor.description is not None
        names = [column[0] for column in cursor.description]
        for values in cursor:
            row = _row(dict(zip(names, values, strict=True)))
            if row.summary in chosen:
                found.append(row)
                if limit is not None and len(found) >= limit:
                    break
    return found


def board(
    actor: Actor,
    match: Match,
    *,
    ids: Sequence[int] | None = None,
    after: int = 0,
    limit: int | None = None,
) -> list[Summary]:
    """What the actor sees of the match, by id; of these `ids`, `after` an id, at most `limit`."""
    rows = _read_sync(match, Limits.of(actor), ids=ids, after=after, limit=limit)
    return [row.summary for row in rows]


def rows_of(actor: Actor, match: Match, *, ids: Sequence[int]) -> list[Row]:
    """The same of these ids, with change numbers."""
    return _read_sync(match, Limits.of(actor), ids=ids, limit=None)


def summary_of(actor: Actor, breaker_id: str) -> Summary:
    """One breaker; raises NotFound also for what lies outside the actor's limits."""
    breaker = breaker_to_see(actor, breaker_id)
    found = _read_sync(Match(), Limits.of(actor), ids=[breaker.pk], limit=1)
    if not found:
        raise NotFound("No such breaker.")
    return found[0].summary


def summaries(breaker_ids: Sequence[int]) -> list[Summary]:
    """These breakers, whoever asks; by id."""
    return [row.summary for row in _read_sync(Match(), Limits(), ids=breaker_ids, limit=None)]
