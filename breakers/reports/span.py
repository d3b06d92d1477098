"""The span of a report. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from breakers.errors import FieldError, Invalid
from breakers.wire import told_time

_USUAL = timedelta(hours=24)
_LONGEST = timedelta(days=400)


class Span(NamedTuple):
    """`since` ≤ t < `until`."""

    since: datetime
    until: datetime


def report_span(
    *, since: datetime | None, until: datetime | None, now: datetime, edge: datetime | None = None
) -> Span:
    """By default the last 24 hours; what is ahead of now is left out, for nobody knows it, and so is what lies before
    the `edge` of history.

    Raises Invalid for a span that is empty by then, or longer than 400 days.
    """
    if until is not None and until < now - 10 * _LONGEST:
        raise Invalid([FieldError(("until",), "is longer ago than anything here")])
    until = now if until is None else min(until, now)
    since = until - _USUAL if since is None else since
    if since >= until:
        raise Invalid([FieldError(("since",), "must be earlier than until, and than now")])
    if until - since > _LONGEST:
        raise Invalid(
            [FieldError(("since",), f"must be at most {_LONGEST.days} days before until")]
        )
    if edge is not None and until <= edge:
        begins = told_time(edge)
        raise Invalid([FieldError(("until",), f"must be after {begins}, where history begins")])
    return Span(since if edge is None else max(since, edge), until)
