"""Reports from history, some breakers at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from django.db import connection
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from psycopg.rows import namedtuple_row

from breakers.models import Breaker, BreakerInstance, Event
from breakers.reports.span import Span
from breakers.reports.tally import FLAP_WITHIN, Tally, tally
from breakers.reports.timeline import Absence, Timeline, timeline
from breakers.sql import statements
from breakers.states import Change, Held, Origin, State

_SQL = statements("reports")
_AT_ONCE = 25
"""Breakers whose histories are in memory together."""


def reports_of(breakers: Sequence[Breaker], span: Span) -> Iterator[tuple[Breaker, Tally]]:
    """One for each breaker, in order."""
    for first in range(0, len(breakers), _AT_ONCE):
        some = breakers[first : first + _AT_ONCE]
        lines = timelines_of([breaker.pk for breaker in some], span)
        for breaker in some:
            yield breaker, tally(lines.get(breaker.pk, ()), since=span.since, until=span.until)


def report_together(breakers: Sequence[Breaker], span: Span) -> Tally:
    """One over all of them, as of a service."""
    lines = timelines_of([breaker.pk for breaker in breakers], span)
    every = [line for of_breaker in lines.values() for line in of_breaker]
    return tally(every, since=span.since, until=span.until)


def timelines_of(breakers: Sequence[int], span: Span) -> dict[int, list[Timeline]]:
    """The timeline of each instance of each breaker, from as far back as it matters to the span."""
    found: dict[int, list[Timeline]] = {}
    asked: dict[str, Any] = {
        "breakers": list(breakers),
        "since": span.since - FLAP_WITHIN,
        "until": span.until,
    }
    absences: dict[tuple[int, int], list[Absence]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_SQL["absences"], asked)
        for breaker, instance, since, until in cursor:
            absences[breaker, instance].append((since, until))
        cursor.cursor.row_factory = namedtuple_row
        cursor.execute(_SQL["changes"], asked)
        rows: Iterator[Any] = iter(cursor)  # named tuples, of which Django's cursor knows nothing
        for (breaker, instance), some in groupby(
            rows, key=lambda row: (row.breaker_id, row.instance_id)
        ):
            kept = list(some)
            retired_at, start = kept[0].retired_at, None
            if kept[0].is_checkpoint:
                edge = kept.pop(0)
                start = Held(_change(edge), edge.since, edge.not_closed_since)
            changes = [_change(row) for row in kept]
            line = timeline(
                changes,
                start=start,
                left=None if start else _left(kept, changes),
                retired_at=retired_at,
                absences=absences[breaker, instance],
            )
            found.setdefault(breaker, []).append(line)
    return found


def busiest(breakers: QuerySet[Breaker], span: Span, *, most: int) -> list[Breaker]:
    """Those that changed state most often in the span, and then the others, by id.

    Whose last change lies before the span is not counted: in a fleet nearly all are such.
    """
    changes = (
        Event.objects.filter(
            breaker_id=OuterRef("pk"),
            type="state_change",
            occurred_at__gte=span.since,
            occurred_at__lt=span.until,
        )
        .order_by()
        .values("breaker_id")
        .annotate(count=Count("*"))
        .values("count")
    )
    moved = BreakerInstance.objects.filter(breaker=OuterRef("pk"), at__gte=span.since)
    counted = breakers.filter(Exists(moved)).annotate(changes=Coalesce(Subquery(changes), 0))
    found = list(counted.order_by("-changes", "pk")[:most])
    others = breakers.exclude(pk__in=[breaker.pk for breaker in found]).order_by("pk")
    return found + list(others[: most - len(found)])


def _left(rows: Sequence[Any], changes: Sequence[Change]) -> State | None:
    """The state from which they came first. Several can have the first one's time: what a hello told, say, which knows
    no state before, and the change itself."""
    saying = [
        (change.rank, row.from_state)
        for row, change in zip(rows, changes, strict=True)
        if row.from_state
    ]
    return State(min(saying)[1]) if saying else None


def _change(row: Any) -> Change:
    return Change(
        to=State(row.to_state),
        natural_state=None,
        cause="",
        reason=None,
        detail=None,
        boot=row.boot,
        boot_at=row.boot_at,
        seq=row.seq,
        occurred_at=row.occurred_at,
        origin=Origin(row.origin),
        event_id=row.event_id,
    )
