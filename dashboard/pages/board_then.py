"""`/?at=`: the board as it was at a past instant, out of history; nothing on it is live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from breakers.access import Actor
from breakers.errors import FieldError, Invalid
from breakers.live.match import Match
from breakers.live.past import board_at
from dashboard.pages import words
from dashboard.pages.arranging import Wish, arrange
from dashboard.pages.frame import render_page

USUAL = timedelta(minutes=10)
"""How long ago, where no instant is named."""
_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS = (
    ("−1 h", timedelta(hours=-1)),
    ("−10 min", timedelta(minutes=-10)),
    ("−1 min", timedelta(minutes=-1)),
    ("+1 min", timedelta(minutes=1)),
    ("+10 min", timedelta(minutes=10)),
    ("+1 h", timedelta(hours=1)),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A way to a neighbouring instant; no URL where that lies ahead."""

    text: str
    url: str | None


def board_then(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Says why where nobody knows, before history's edge or ahead, and for what is no time (422)."""
    now, said, wish = timezone.now(), request.GET.get("at", ""), Wish.of(request.GET)
    problem, at = "", now - USUAL
    try:
        at = _instant(said) if said else at
        everything = board_at(actor, Match(), at=at, now=now)
    except Invalid as invalid:
        problem, everything = f"The time {invalid}.", []
    shown = arrange(everything, wish, now=at)
    if problem:
        shown["headline"] = [words.Part("Nobody knows how it was then.")]
    elif not everything:
        shown["headline"] = [words.Part("No breakers yet.")]
    kept = {
        name: value
        for name, value in (
            ("environment", wish.environment),
            ("state", ",".join(sorted(wish.states))),
            ("q", wish.text),
        )
        if value
    }
    return render_page(
        request,
        actor,
        "board/then.html",
        shown
        | {
            "at": at,
            "at_text": _told(at),
            "at_field": at.replace(microsecond=0, tzinfo=None).isoformat(),
            "latest": now.replace(microsecond=0, tzinfo=None).isoformat(),
            "keep_at": "&" + urlencode({"at": _told(at)}),
            "kept": kept,
            "now_url": f"/?{urlencode(kept)}" if kept else "/",
            "steps": []
            if problem
            else [_step(text, at + by, now=now, kept=kept) for text, by in _STEPS],
            "problem": problem,
        },
        status=HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK,
    )


def _instant(text: str) -> datetime:
    """RFC 3339, or without a zone, as a browser's field for times sends it: UTC. Raises Invalid."""
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid([FieldError(("at",), "is none that can be read")]) from None
    if at < _OLDEST:
        raise Invalid([FieldError(("at",), "is longer ago than anything here")])
    return at


def _step(text: str, there: datetime, *, now: datetime, kept: dict[str, str]) -> Step:
    return Step(text, None if there > now else f"/?{urlencode({'at': _told(there)} | kept)}")


def _told(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
