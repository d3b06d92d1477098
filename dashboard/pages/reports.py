"""`/reports/`: how breakers stood over a day, a week or a month."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from breakers.access import Actor, breakers_for
from breakers.history.edge import kept_history
from breakers.models import Breaker
from breakers.reports.read import busiest, reports_of
from breakers.reports.span import Span, report_span
from breakers.reports.tally import Tally
from breakers.states import State
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

SHOWN_MOST = 200
"""Those that changed most often; each history is read for the page."""
SPANS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_SPAN_WORDS = {"24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days"}
_GRAVEST_FIRST = (
    State.OPEN,
    State.FORCED_OPEN,
    State.HALF_OPEN,
    State.FORCED_CLOSED,
    State.UNKNOWN,
    State.CLOSED,
)


@dataclass(frozen=True, slots=True)
class Share:
    """A state's part of the time, in percent, and where it begins in the bar."""

    state: State
    begins: float
    percent: float


@dataclass(frozen=True, slots=True)
class Row:
    """A breaker and its figures, as they are said."""

    breaker: Breaker
    tally: Tally

    @property
    def title(self) -> str:
        service, target = self.breaker.service.name, self.breaker.target
        return f"{service} · {self.breaker.name}" if target is None else f"{service} → {target}"

    @property
    def shares(self) -> list[Share]:
        total = sum(self.tally.states.values(), timedelta(0))
        shares, begins = [], 0.0
        for state in _GRAVEST_FIRST:
            if lasted := self.tally.states.get(state):
                shares.append(Share(state, round(begins, 2), round(100 * (lasted / total), 2)))
                begins += 100 * (lasted / total)
        return shares

    @property
    def shares_words(self) -> str:
        """The bar, for those who do not see it."""
        said = [f"{words.state_word(s.state)} {words.percent(s.percent)}" for s in self.shares]
        return ", ".join(said) or "nothing known"

    @property
    def availability(self) -> str:
        known = self.tally.availability
        if known is None:
            return "–"
        # Never rounded up to what it is not.
        return "100%" if known == 100 else f"{int(known * 100) / 100:.2f}%"

    @property
    def recovered(self) -> str:
        mean = self.tally.mean_time_to_recover
        return "–" if mean is None else words.lasting(mean.total_seconds())

    @property
    def longest(self) -> str:
        return _lasting(self.tally.longest_outage)

    @property
    def any_open(self) -> str:
        return _lasting(self.tally.any_open)


@dataclass(frozen=True, slots=True)
class Column:
    """A heading that sorts: by its key, the worst first, or the other way round."""

    name: str
    title: str
    url: str
    sorted: str
    """For aria-sort: "descending", "ascending", or "" where the table is sorted by another."""


_KEYS: dict[str, tuple[str, Callable[[Row], Any]]] = {
    "name": ("Breaker", lambda row: (row.title.casefold(), row.breaker.pk)),
    "available": (
        "Available",
        lambda row: 101.0 if row.tally.availability is None else row.tally.availability,
    ),
    "trips": ("Trips", lambda row: row.tally.trips),
    "flaps": ("Flaps", lambda row: row.tally.flaps),
    "recovered": (
        "Recovers in",
        lambda row: row.tally.mean_time_to_recover or timedelta(0),
    ),
    "longest": ("Longest outage", lambda row: row.tally.longest_outage),
    "open": ("Open anywhere", lambda row: row.tally.any_open),
}
_SMALLEST_FIRST = ("name", "available")
"""Where the small is what one looks for."""


@page
@require_safe
def reports_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    asked = {
        "span": _one_of(request.GET.get("span"), SPANS, "24h"),
        "sort": _one_of(request.GET.get("sort", "").lstrip("-"), _KEYS, "trips"),
        "environment": _text(request, "environment"),
        "service": _text(request, "service"),
    }
    turned = request.GET.get("sort", "").startswith("-")
    now = timezone.now()
    since = now - SPANS[asked["span"]]
    breakers = breakers_for(actor)
    if asked["environment"]:
        breakers = breakers.filter(service__environment__name=asked["environment"])
    if asked["service"]:
        breakers = breakers.filter(service__name__icontains=asked["service"])
    with kept_history() as edge:
        span = report_span(since=since, until=None, now=now, edge=edge)
        rows = [Row(*found) for found in reports_of(busiest(breakers, span, most=SHOWN_MOST), span)]
    rows.sort(key=_KEYS["name"][1])
    downwards = (asked["sort"] not in _SMALLEST_FIRST) is not turned
    rows.sort(key=_KEYS[asked["sort"]][1], reverse=downwards)
    return render_page(
        request,
        actor,
        "reports/list.html",
        {
            "headline": _headline(rows, _SPAN_WORDS[asked["span"]], limited=actor.limited),
            "rows": rows,
            "columns": [_column(name, asked, downwards) for name in _KEYS],
            "spans": [
                (said[4:], _url(asked | {"span": name}), name == asked["span"])
                for name, said in _SPAN_WORDS.items()
            ],
            "asked": asked,
            "filtered": bool(asked["environment"] or asked["service"]),
            "environments_seen": sorted({row.breaker.service.environment.name for row in rows}),
            "csv": _csv(asked, span),
            "begins": span.since if span.since != since else None,
            "shown_most": SHOWN_MOST,
        },
    )


def _one_of(said: str | None, known: Container[str], default: str) -> str:
    return said if said is not None and said in known else default


def _text(request: HttpRequest, name: str) -> str:
    """PostgreSQL knows no text with a NUL in it."""
    return request.GET.get(name, "").replace("\0", "").strip()


def _url(asked: dict[str, str]) -> str:
    return "?" + urlencode({name: value for name, value in asked.items() if value})


def _column(name: str, asked: dict[str, str], downwards: bool) -> Column:
    here = name == asked["sort"]
    usual = name not in _SMALLEST_FIRST
    turn = "-" if here and downwards is usual else ""
    standing = ("descending" if downwards else "ascending") if here else ""
    return Column(name, _KEYS[name][0], _url(asked | {"sort": turn + name}), standing)


def _csv(asked: dict[str, str], span: Span) -> str:
    query = {
        "format": "csv",
        "limit": "1000",
        "environment": asked["environment"],
        "since": _told(span.since),
        "until": _told(span.until),
    }
    return f"/api/v1/reports{_url(query)}"


def _told(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _lasting(length: timedelta) -> str:
    return words.lasting(length.total_seconds()) if length else "–"


def _headline(rows: Sequence[Row], span: str, *, limited: bool) -> str:
    if not rows:
        return f"No breaker{' that you may see' if limited else ''} to report on."
    tripped = [row for row in rows if row.tally.trips]
    if not tripped:
        return f"Nothing tripped in {span}."
    trips = sum(row.tally.trips for row in tripped)
    worst = max(tripped, key=lambda row: row.tally.trips)
    said = f"{words.counted(trips, 'trip')} in {span}"
    if len(tripped) == 1:
        return f"{said}, all of {worst.title}."
    return f"{said}, {worst.tally.trips} of them {worst.title}."
