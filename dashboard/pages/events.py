"""What happened to a breaker, in rows, newest first; a run of failed probes is one row, so that the trip
that began it stays in sight. Folding is pure; reading goes on until a page has something to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar

from breakers.history.read import cursor_after, events_of
from breakers.models import Breaker
from dashboard.pages import words

ROWS_ENOUGH = 20
"""With so many rows a page is full."""
_READ_FIRST, _READ_NEXT = 30, 100
_EACH_MOST = 50
READ_MOST = 1_000
"""Events folded into one page: about a quarter of an hour of three instances that probe every 5 s."""
SHOWN_OF_A_RUN = 20
"""Opened, a run shows its newest events; the page of each event has them all."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One thing that happened, and why, in words. `to` is None for what is no state change."""

    id: str
    occurred_at: datetime
    type: str
    before: str | None
    """The state that was left, where that is known."""
    to: str | None
    instance: str
    why: str
    cause: str
    """As the contract has it, or `server` for what the server itself found out."""

    folded: ClassVar[bool] = False

    @property
    def key(self) -> str:
        return f"{self.id} {self.occurred_at.isoformat()}"

    @property
    def said_cause(self) -> str:
        return _CAUSES.get(self.cause, "not said")


@dataclass(frozen=True, slots=True)
class ProbesRow:
    """Failed probes with nothing else between them, of one instance or of several; newest first."""

    events: tuple[EventRow, ...]
    since_start: str = ""
    """The cursor at which its own events begin; empty at the newest."""
    is_cut: bool = False
    """Whether the page may have only a part of the run: it goes on where the page ends, or began on the one before."""

    folded: ClassVar[bool] = True

    @property
    def key(self) -> str:
        """Stays while the run grows, so that an opened one stays open."""
        return f"probes {self.events[-1].key}" if self.since_start else "probes now"

    @property
    def occurred_at(self) -> datetime:
        return self.events[0].occurred_at

    @property
    def began_at(self) -> datetime:
        return self.events[-1].occurred_at

    @property
    def instances(self) -> list[str]:
        return sorted({event.instance for event in self.events})

    @property
    def failed(self) -> list[EventRow]:
        """What ended each of the probes; empty while the first ones are under way."""
        return [event for event in self.events if event.to == "open"]

    @property
    def probed(self) -> str:
        """ "probed 14 times", "probed 20 times on this page"."""
        count = len(self.failed)
        if count == 0:
            return "probing"
        times = "once" if count == 1 else f"{count:,} times"
        return f"probed {times}{' on this page' if self.is_cut else ''}"

    @property
    def shown(self) -> Sequence[EventRow]:
        return self.events[:SHOWN_OF_A_RUN]


@dataclass(frozen=True, slots=True)
class EventsPage:
    """One page of a breaker's history."""

    rows: list[EventRow | ProbesRow]
    older: str | None
    """The cursor of the page that follows; None where history ends."""
    newest: bool
    each: bool
    """Whether each event has a row of its own."""


def events_page(breaker: Breaker, *, before: str = "", each: bool = False) -> EventsPage:
    """The page after a cursor, or the newest. Raises Invalid for what is no cursor of this breaker."""
    if each:
        found, older = events_of(breaker, limit=_EACH_MOST, cursor=before)
        return EventsPage([event_row(event) for event in found], older, not before, each)
    read: list[EventRow] = []
    older = before
    while True:
        limit = _READ_NEXT if read else _READ_FIRST
        found, older = events_of(breaker, limit=limit, cursor=older or "")
        read += map(event_row, found)
        rows = fold(read)
        if older is None or len(rows) >= ROWS_ENOUGH or len(read) >= READ_MOST:
            break
    rows = _with_cuts(
        _with_starts(breaker, rows, before), above=bool(before), below=older is not None
    )
    return EventsPage(rows, older, not before, each)


def _with_cuts(
    rows: list[EventRow | ProbesRow], *, above: bool, below: bool
) -> list[EventRow | ProbesRow]:
    """The runs at the page's edges told that they may be parts, where there is a page beyond."""
    edges = ([0] if above else []) + ([len(rows) - 1] if below else [])
    return [
        replace(row, is_cut=True) if n in edges and isinstance(row, ProbesRow) else row
        for n, row in enumerate(rows)
    ]


def _with_starts(
    breaker: Breaker, rows: list[EventRow | ProbesRow], before: str
) -> list[EventRow | ProbesRow]:
    """Each run told where its own events begin: after the last event of the row above it."""
    told, start = [], before
    for row in rows:
        told.append(replace(row, since_start=start) if isinstance(row, ProbesRow) else row)
        last = row.events[-1] if isinstance(row, ProbesRow) else row
        start = cursor_after(breaker, occurred_at=last.occurred_at, id=last.id)
    return told


def fold(events: Sequence[EventRow]) -> list[EventRow | ProbesRow]:
    """Runs of failed probes become one row each, across instances; all else, and the order, stays."""
    rows: list[EventRow | ProbesRow] = []
    for failed, run in groupby(
        zip(events, _are_failed_probes(events), strict=True), key=lambda pair: pair[1]
    ):
        members = tuple(event for event, _ in run)
        if failed and len(members) > 1:
            rows.append(ProbesRow(members))
        else:
            rows.extend(members)
    return rows


def _are_failed_probes(events: Sequence[EventRow]) -> list[bool]:
    """For each event whether it belongs to a probe that failed, or to one that is still under way."""
    follows: dict[str, str] = {}
    """What each instance became next, on the way from the newest event to the oldest."""
    found = []
    for event in events:
        move = (event.before, event.to)
        after = follows.get(event.instance)
        begins = move == ("open", "half_open") and after in (None, "open")
        fails = move == ("half_open", "open")
        found.append((begins or fails) and event.cause in ("automatic", "unknown"))
        if event.to is not None:
            follows[event.instance] = event.to
    return found


_CAUSES = {
    "automatic": "own",
    "manual": "by hand",
    "override": "override",
    "shared": "shared state",
    "server": "server",
}

_REASONS = {
    "hello": "as its process reports itself",
    "instance_lost": "no sign of life for 60 s",
}


_FORCED = ("forced_open", "forced_closed")
_HELD_REASONS = {"wait_over": "its wait is over"}


def event_row(event: dict[str, Any]) -> EventRow:
    """An event of `events_of`, in words."""
    return EventRow(
        id=event["id"],
        occurred_at=datetime.fromisoformat(event["occurred_at"]),
        type=event["type"],
        before=event.get("was"),
        to=event.get("to"),
        instance=event["instance"] or "",
        why=_why(event),
        cause="server" if event.get("origin") == "server" else event.get("cause") or "unknown",
    )


def _why(event: dict[str, Any]) -> str:
    """What is beneath where a hand is on it, for the event moved that alone; and why."""
    beneath = event.get("natural_state")
    if event.get("cause") != "automatic" or event.get("to") not in _FORCED or beneath is None:
        return _reason(event)
    # What a library says of its own state would be untrue of the calls: none is let through, or all are.
    why = _HELD_REASONS.get(event.get("reason") or "") or _reason(event)
    return f"by itself {words.state_word(beneath)}{': ' if why else ''}{why}"


def _reason(event: dict[str, Any]) -> str:
    """The human text, else the machine word in ours, else the figures that came with it."""
    reason = event.get("reason") or ""
    rate = (event.get("metrics") or {}).get("failure_rate")
    figures = "" if rate is None or event.get("to") != "open" else f"{words.percent(rate)} failing"
    if event["type"] == "note" and reason and event["detail"]:
        return f"{reason}: {event['detail']}"
    return event["detail"] or _REASONS.get(reason, reason.replace("_", " ")) or figures
