"""Reports: of one breaker, of many, and of services."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from breakers import access
from breakers.api.auth import READ
from breakers.api.body import Instant
from breakers.api.shapes import Authed, Limit
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.history.edge import kept_history
from breakers.models import Breaker, Service
from breakers.reports.read import report_together, reports_of
from breakers.reports.span import Span, report_span
from breakers.reports.tally import Tally
from breakers.states import State
from breakers.wire import told_time

router = Router(tags=["reports"])
Format = Literal["json", "csv"]
_Row = TypeVar("_Row", Breaker, Service)
Named = Annotated[str, Field(max_length=200)]


class StateSeconds(Schema):
    """Time in each state, in instance-seconds."""

    closed: float
    open: float
    half_open: float
    forced_open: float
    forced_closed: float
    unknown: float


class ReportOut(Schema):
    """Of one breaker, or of all breakers of a service (`breaker`, `name` and `target` are null). Times in seconds;
    null is unknown. What each figure means: docs/reports.md."""

    environment: str
    service: str
    breaker: str | None
    name: str | None
    target: str | None
    since: datetime
    until: datetime
    instances: int
    availability: float | None
    trips: int
    flaps: int
    recoveries: int
    mean_time_to_recover: float | None
    longest_outage: float
    any_open: float
    states: StateSeconds

    @classmethod
    def of(cls, owner: Breaker | Service, found: Tally, span: Span) -> ReportOut:
        breaker = owner if isinstance(owner, Breaker) else None
        service = owner if isinstance(owner, Service) else owner.service
        recover = found.mean_time_to_recover
        return cls(
            environment=service.environment.name,
            service=service.name,
            breaker=None if breaker is None else str(breaker.pk),
            name=None if breaker is None else breaker.name,
            target=None if breaker is None else breaker.target,
            since=span.since,
            until=span.until,
            instances=found.instances,
            availability=None if found.availability is None else round(found.availability, 4),
            trips=found.trips,
            flaps=found.flaps,
            recoveries=found.recoveries,
            mean_time_to_recover=None if recover is None else recover.total_seconds(),
            longest_outage=found.longest_outage.total_seconds(),
            any_open=found.any_open.total_seconds(),
            states=StateSeconds(
                **{
                    state.value: found.states.get(state, timedelta(0)).total_seconds()
                    for state in State
                }
            ),
        )

    def row(self) -> dict[str, Any]:
        """Flat, for a table: the states as columns, times as everywhere."""
        told = self.model_dump()
        states = told.pop("states")
        told |= {"since": told_time(self.since), "until": told_time(self.until)}
        return told | {f"{state}_seconds": lasted for state, lasted in states.items()}


class ReportPage(Schema):
    items: list[ReportOut]
    next: str | None


@router.get("/breakers/{breaker_id}/report", auth=READ, response=ReportOut)
def get_breaker_report(
    request: Authed,
    breaker_id: str,
    since: Instant | None = None,
    until: Instant | None = None,
    format: Format = "json",
) -> ReportOut | HttpResponse:
    """How it stood in a span (by default the last 24 hours): time in each state, trips, recoveries."""
    breaker = access.breaker_to_see(request.auth, breaker_id)
    with kept_history() as edge:
        span = report_span(since=since, until=until, now=timezone.now(), edge=edge)
        [(_, found)] = reports_of([breaker], span)
    report = ReportOut.of(breaker, found, span)
    return report if format == "json" else _csv([report], None)


@router.get("/reports", auth=READ, response=ReportPage)
def get_reports(
    request: Authed,
    since: Instant | None = None,
    until: Instant | None = None,
    environment: Named = "",
    service: Named = "",
    by: Literal["breaker", "service"] = "breaker",
    format: Format = "json",
    limit: Limit = LIMIT_DEFAULT,
    cursor: str = "",
) -> ReportPage | HttpResponse:
    """The same of many breakers, or `by` service of all breakers of each; by ID.

    As CSV, the header `Panelboard-Next` is the cursor of the next page. A cursor goes with the `since` and `until`
    that it began with: name both, or the pages are of different spans.
    """
    query = {
        "list": f"reports by {by}",
        "environment": environment,
        "service": service,
        "since": since,
        "until": until,
    }
    with kept_history() as edge:
        span = report_span(since=since, until=until, now=timezone.now(), edge=edge)
        if by == "breaker":
            found, next_ = _page(_breakers(request, environment, service), limit, cursor, query)
            items = [ReportOut.of(one, counted, span) for one, counted in reports_of(found, span)]
        else:
            owners, next_ = _page(_services(request, environment, service), limit, cursor, query)
            items = [ReportOut.of(one, _together(request, one, span), span) for one in owners]
    return ReportPage(items=items, next=next_) if format == "json" else _csv(items, next_)


def _breakers(request: Authed, environment: str, service: str) -> QuerySet[Breaker]:
    rows = access.breakers_for(request.auth)
    rows = rows.filter(service__environment__name=environment) if environment else rows
    return rows.filter(service__name=service) if service else rows


def _services(request: Authed, environment: str, service: str) -> QuerySet[Service]:
    rows = access.services_for(request.auth).select_related("environment")
    rows = rows.filter(environment__name=environment) if environment else rows
    return rows.filter(name=service) if service else rows


def _together(request: Authed, service: Service, span: Span) -> Tally:
    return report_together(list(access.breakers_for(request.auth).filter(service=service)), span)


def _page(
    rows: QuerySet[_Row], limit: int, cursor: str, query: dict[str, Any]
) -> tuple[list[_Row], str | None]:
    return page(
        rows,
        order=[("id", int)],
        newest_first=False,
        limit=limit,
        cursor=cursor or None,
        query=query,
    )


def _csv(reports: Iterable[ReportOut], following: str | None) -> HttpResponse:
    rows = [report.row() for report in reports]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(_COLUMNS)
    table.writerows([_cell(row[name]) for name in _COLUMNS] for row in rows)
    answer = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="reports.csv"'
    if following:
        answer["Panelboard-Next"] = following
    return answer


_COLUMNS: Sequence[str] = (
    *(name for name in ReportOut.model_fields if name != "states"),
    *(f"{state}_seconds" for state in StateSeconds.model_fields),
)


def _cell(value: object) -> object:
    """Names come from outside, and a spreadsheet takes what begins like this for a formula."""
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
