"""Taking breakers whose outbox rows or due checks wait, and reading all that is needed to judge them.

A claim is an advisory lock of the breaker, not a lock of its row: whoever evaluates keeps no writer waiting,
and a worker that is stopped in the middle holds up nobody's events. Two statements could see two moments;
states and outbox rows are read by one, so that together they are the breaker at one instant. Writers insert
under the row lock, so what that statement sees of a breaker's rows is a beginning of them, in order.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from django.db import connection

from alerts.judging import Replay, Step
from alerts.labels import labels_of
from alerts.models import PolicyCase, Standing
from alerts.verdicts import BreakerView, InstanceView
from breakers.outbox import steps_of
from breakers.states import State

BATCH = 500
"""Breakers in one transaction: enough to share its cost, and done within a second."""
_PAGE = 1000
_CLAIMS = 0x7062 << 48
"""Where the advisory locks of claims begin; a breaker's id is added."""

_LOCK = """
SELECT id FROM unnest(%s::bigint[]) AS id WHERE pg_try_advisory_xact_lock(%s + id)
"""
_BREAKERS = """
SELECT b.id, e.name, s.name, b.name, b.target
FROM breaker b JOIN service s ON s.id = b.service_id JOIN environment e ON e.id = s.environment_id
WHERE b.id = ANY(%s) ORDER BY b.id
"""
# Times as seconds since 1970, for making datetimes of them is a quarter of the work of reading.
# The retired, and those that no longer have the breaker, say nothing any more, except where their last word is among
# the rows: a row may carry an earlier time than one committed before it, by as much as a transaction takes.
_BROKEN = "replace({0}.mode, '_', ' ') || ' by ' || {0}.by_name || ' past ' || {0}.broke"
# Of what the present life of its instance has said nothing yet: what another life that ended on purpose left open is
# nobody's word.
_SILENT = """(bi.boot <> i.boot AND bi.presented_by <> i.boot
       AND EXISTS (SELECT FROM absence a WHERE a.instance_id = i.id AND a.breaker_id IS NULL AND a.until > bi.at))"""
_SEEN = f"""
SELECT bi.breaker_id, 0 AS outbox_id, bi.instance_id, bi.state, bi.natural_state,
       extract(epoch FROM bi.since)::float, i.name, bi.library, i.labels || bi.labels,
       i.lost_at IS NULL AND left_.at IS NULL AND {_SILENT} IS NOT TRUE,
       i.lost_at IS NOT NULL AND left_.at IS NULL, left_.at IS NOT NULL,
       bi.applied_revision,
       extract(epoch FROM bi.not_closed_since)::float, extract(epoch FROM i.session_since)::float,
       NULL::float, NULL::text, NULL::text, NULL::text, extract(epoch FROM bi.left_at)::float
FROM breaker_instance bi JOIN instance i ON i.id = bi.instance_id
CROSS JOIN LATERAL (
    SELECT least(bi.left_at, i.retired_at) AS at, coalesce(bi.left_at, i.retired_at + interval '1 minute') AS until
) left_
WHERE bi.breaker_id = ANY(%(ids)s) AND (left_.at IS NULL OR EXISTS (
    SELECT FROM outbox o WHERE o.breaker_id = bi.breaker_id AND o.committed_at <= left_.until))
UNION ALL
SELECT o.breaker_id, o.id, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       extract(epoch FROM o.committed_at)::float, o.steps, {_BROKEN.format("made")}, {_BROKEN.format("gone")}, NULL
FROM outbox o LEFT JOIN override made ON made.id = o.override_id
LEFT JOIN override gone ON gone.id = o.before_override_id
WHERE o.breaker_id = ANY(%(ids)s)
UNION ALL
SELECT made.breaker_id, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, {_BROKEN.format("made")}, NULL, NULL
FROM override made WHERE made.breaker_id = ANY(%(ids)s) AND made.ended_at IS NULL AND made.broke IS NOT NULL
ORDER BY 1, 2, 3
"""  # noqa: S608, nothing in it is anybody's text


_STATES = {state.value: state for state in State}
UNWELL = (State.OPEN, State.HALF_OPEN)
"""Of which an outage consists."""


_DELETE = """
DELETE FROM outbox o USING unnest(%s::bigint[], %s::bigint[]) AS judged (breaker_id, top)
WHERE o.breaker_id = judged.breaker_id AND o.id <= judged.top
"""
_WAITING = "SELECT breaker_id FROM outbox GROUP BY breaker_id ORDER BY min(id)"


class _Seen(NamedTuple):
    """What stands where the `outbox_id` is 0: a breaker instance as it is or, with the `instance_id` 0, what guard
    the standing override broke. Else an outbox row: the steps of a commit, and what `broken` became and was."""

    breaker_id: int
    outbox_id: int
    instance_id: int
    state: str
    natural_state: str | None
    since: float | None
    name: str
    library: str | None
    labels: str
    live: bool
    lost: bool
    retired: bool
    applied_revision: int
    not_closed_since: float | None
    session_since: float | None
    committed_at: float
    steps: str
    broken: str | None
    before_broken: str | None
    left_at: float | None
    """Since when its instance no longer has it."""

    @property
    def is_glass(self) -> bool:
        """Whether a guard is broken by it, or was until then."""
        return (self.broken or self.before_broken) is not None


@dataclass(frozen=True, slots=True)
class Claim:
    """Locked breakers with what happened to them; `tops` are the last outbox rows of those that have any."""

    replays: tuple[Replay, ...]
    tops: dict[int, int]

    @property
    def breakers(self) -> list[int]:
        return [one.now.id for one in self.replays]


def waiting_breakers(now: datetime) -> Iterator[list[int]]:
    """Breakers with work, the longest waiting first, in pages; read without a lock."""
    seen: set[int] = set()
    page: list[int] = []
    for checked in (Standing, PolicyCase):
        due = checked.objects.filter(check_at__lte=now).order_by("check_at", "id")
        page += due.values_list("breaker_id", flat=True)[:_PAGE]
    page = list(dict.fromkeys(page))
    seen.update(page)
    if page:
        yield page
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        waiting = [id for (id,) in cursor.fetchall() if id not in seen]
    for start in range(0, len(waiting), _PAGE):
        yield waiting[start : start + _PAGE]


def claim(breaker_ids: Sequence[int], *, now: datetime) -> Claim | None:
    """Locks those that nobody else holds and reads them; inside a transaction. None: nothing to do."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [list(breaker_ids), _CLAIMS])
        ids = [id for (id,) in cursor.fetchall()]
    claimed = read(ids, now=now) if ids else None
    return claimed if claimed and claimed.replays else None


def read(ids: list[int], *, now: datetime) -> Claim:
    """These breakers as a claim has them. Without their locks it is for looking alone."""
    with connection.cursor() as cursor:
        cursor.execute(_BREAKERS, [ids])
        breakers = cursor.fetchall()
        cursor.execute(_SEEN, {"ids": ids})
        by_breaker: dict[int, list[_Seen]] = defaultdict(list)
        for values in cursor.fetchall():
            by_breaker[values[0]].append(_Seen._make(values))
    replays = tuple(
        _replay(
            BreakerView(id, environment, service, name, target, ()), by_breaker.get(id, ()), now
        )
        for id, environment, service, name, target in breakers
    )
    # In the order of reading, so that the last is the top.
    tops = {id: found[-1].outbox_id for id, found in by_breaker.items() if found[-1].outbox_id}
    return Claim(replays, tops)


def delete_judged(claimed: Claim) -> None:
    """The rows that were read: of each breaker all up to its top, for they were committed in order."""
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, [list(claimed.tops), list(claimed.tops.values())])


def drop_orphans() -> None:
    """Rows of breakers that are gone are nobody's to judge."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM outbox o WHERE NOT EXISTS (SELECT FROM breaker b WHERE b.id = o.breaker_id)"
        )


def _replay(breaker: BreakerView, found: Sequence[_Seen], now: datetime) -> Replay:
    rows = [(row, steps_of(row.steps)) for row in found if row.outbox_id]
    moved = {step.instance_id for _, steps in rows for step in steps}
    present = {
        seen.instance_id: _instance(breaker, seen)
        for seen in found
        if seen.instance_id and (not seen.retired or seen.instance_id in moved)
    }
    left = {seen.instance_id: seen.left_at for seen in found if seen.left_at is not None}
    before, replayed = dict(present), list[Step]()
    then: dict[int, InstanceView] = {}
    glass = [seen for seen in found if seen.is_glass]
    broken = next((seen.broken for seen in glass if not seen.outbox_id), None)
    was_broken = next((seen.before_broken for seen in glass if seen.outbox_id), broken)
    latest, at, order = 0.0, now, 0
    for row, steps in rows:
        # A transaction's time is that of its beginning: a later one may carry an earlier time.
        if row.committed_at > latest:
            latest = row.committed_at
            at = min(datetime.fromtimestamp(latest, UTC), now)
        if row.is_glass:
            order = max(order + 1, _order(latest, 0))
            replayed.append(Step(order, at, None, row.broken))
        for step in steps:
            instance = present.get(step.instance_id)
            if instance is None or row.committed_at > left.get(instance.id, math.inf):
                continue
            if before[instance.id] is instance:
                was = _as(instance, step.before, step.before_natural, None)
                # Unknown before: lost, or not there yet. It is back by this row, and nobody misses a newcomer.
                before[instance.id] = msgspec.structs.replace(was, lost=False)
            after = _as(instance, step.state, step.natural, step.since)
            after = _in_its_outage(after, then.get(instance.id), instance)
            then[instance.id] = after
            order = max(order + 1, _order(latest, step.place))
            replayed.append(Step(order, at, after))
    return Replay(
        _with(breaker, before, was_broken), tuple(replayed), _with(breaker, present, broken)
    )


def _order(committed_at: float, place: int) -> int:
    """Steps of one breaker stand in the order of its rows, those of several in that of their commits and, within
    one, of what happened."""
    return (int(committed_at * 1e6) << 16) + place


def _with(
    breaker: BreakerView, instances: Mapping[int, InstanceView], broken: str | None
) -> BreakerView:
    return msgspec.structs.replace(breaker, instances=tuple(instances.values()), broken=broken)


def _instance(breaker: BreakerView, seen: _Seen) -> InstanceView:
    state = _STATES[seen.state]
    return InstanceView(
        id=seen.instance_id,
        name=seen.name,
        labels=labels_of(
            json.loads(seen.labels),
            environment=breaker.environment,
            service=breaker.service,
            breaker=breaker.breaker,
            target=breaker.target,
            instance=seen.name,
            library=seen.library,
        ),
        state=state,
        natural=_natural(state, _STATES[seen.natural_state] if seen.natural_state else None),
        since=_at(seen.since),
        live=seen.live and state is not State.UNKNOWN,
        lost=seen.lost,
        outage_since=_at(seen.not_closed_since) if state in UNWELL else None,
        applied=seen.applied_revision,
        heard_since=_at(seen.session_since),
    )


def _in_its_outage(
    after: InstanceView, before: InstanceView | None, present: InstanceView
) -> InstanceView:
    """With the beginning of its outage: the outbox says of a step only since when the state is so."""
    if after.natural not in UNWELL:
        return after
    if before is not None:
        known = before.outage_since
    else:
        known = present.outage_since
        if known is not None and after.since is not None and known > after.since:
            known = None  # of a later outage
    return msgspec.structs.replace(after, outage_since=known or after.since)


def _as(
    instance: InstanceView, was: State, natural: State | None, since: datetime | None
) -> InstanceView:
    """An instance as it was at a step: whoever said something was live then."""
    return InstanceView(
        id=instance.id,
        name=instance.name,
        labels=instance.labels,
        state=was,
        natural=_natural(was, natural),
        since=since,
        live=was is not State.UNKNOWN,
        lost=was is State.UNKNOWN,
        applied=instance.applied,
        heard_since=instance.heard_since,
    )


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _natural(state: State, natural: State | None) -> State:
    """`unknown` says that nobody speaks for it, whatever was natural before."""
    return state if natural is None or state is State.UNKNOWN else natural
