"""A breaker's metrics over time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.utils import timezone
from ninja import Query, Router, Schema

from breakers import access
from breakers.api.auth import READ
from breakers.api.body import Instant
from breakers.api.shapes import Authed
from breakers.metrics.read import Point, points_of, rolled_until
from breakers.metrics.span import Source, span_of

router = Router(tags=["breakers"])


class RangeOut(Schema):
    """The lowest and the highest that any instance reported: percentiles of several cannot be merged."""

    lowest: float
    highest: float


class PointOut(Schema):
    """From `at` on, for one step. Null is unknown; `covered` is the time spoken for, in instance-seconds."""

    at: datetime
    covered: float
    calls: float | None
    failed: float | None
    slow: float | None
    not_permitted: float | None
    failure_rate: float | None
    slow_rate: float | None
    p50_ms: RangeOut | None
    p95_ms: RangeOut | None
    p99_ms: RangeOut | None

    @classmethod
    def of(cls, point: Point) -> PointOut:
        return cls.model_validate(point._asdict())


class MetricsOut(Schema):
    """`source` is what the points are made of; what was received after `rolled_until` is not in its sums yet."""

    breaker: str
    since: datetime
    until: datetime
    step: int
    source: Source
    rolled_until: datetime | None
    points: list[PointOut]


@router.get("/breakers/{breaker_id}/metrics", auth=READ, response=MetricsOut)
def get_breaker_metrics(
    request: Authed,
    breaker_id: str,
    since: Instant | None = None,
    until: Instant | None = None,
    step: Annotated[int | None, Query(ge=1, le=366 * 86400)] = None,
) -> MetricsOut:
    """Points of `step` seconds that begin at `since` ≤ t < `until`: by default of the last hour, every 15 s.

    Steps are aligned to the epoch, at most 1,000 of them. Below a minute, and in spans of up to two hours, they are
    made of snapshots (kept 14 days), else of minutes (30 days) or of hours (400 days). Counts are summed over
    instances, each moment counted once; rates are worked out from those counts; latencies are the range over
    instances. A step of which nothing is known is there with nulls.
    """
    breaker = access.breaker_of_history(request.auth, breaker_id)
    span = span_of(since=since, until=until, step=step, now=timezone.now())
    return MetricsOut(
        breaker=str(breaker.pk),
        since=span.since,
        until=span.until,
        step=span.step,
        source=span.source,
        rolled_until=rolled_until(span.source),
        points=[PointOut.of(point) for point in points_of(breaker, span)],
    )
