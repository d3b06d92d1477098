"""`/approvals/`: control calls that wait for another person, and what became of those before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from breakers.access import Actor, breakers_for, require
from breakers.guards.approvals import approvals_for, may_approve, status_of, waiting
from breakers.guards.calls import AnyCall, CommandCall, Kept
from breakers.models import Approval, Breaker, Scope
from breakers.registry_read import not_known
from dashboard.pages import words
from dashboard.pages.frame import page, render_page
from dashboard.pages.tags import exact

DECIDED_MOST = 50
NAMED_MOST = 5


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """One call in words. `own`: whoever looks asked for it, and cannot approve it."""

    approval: Approval
    status: str
    does: str
    breakers: list[Breaker]
    """The first of them; `more` are left out."""
    more: int
    own: bool
    not_known: str
    """Of the names that it would force: which are nobody's in any of the breakers, in words."""


@page
@require_safe
def approvals_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    require(actor, Scope.OPERATE)
    now = timezone.now()
    everything = approvals_for(actor).order_by("-created_at", "-id")
    pending = approval_rows(waiting(everything, now), actor, now)
    seen = [row.approval.pk for row in pending]
    decided = approval_rows(everything.exclude(pk__in=seen)[:DECIDED_MOST], actor, now)
    return render_page(
        request,
        actor,
        "approvals/list.html",
        {
            "headline": _headline(pending),
            "pending": pending,
            "decided": decided,
            "decided_most": DECIDED_MOST,
        },
    )


def approval_rows(approvals: Iterable[Approval], actor: Actor, now: datetime) -> list[ApprovalRow]:
    found = list(approvals)
    shown = {id for one in found for id in one.breakers[:NAMED_MOST]}
    known = breakers_for(actor).in_bulk(list(shown))
    return [
        ApprovalRow(
            approval=one,
            status=status_of(one, now),
            does=does(Kept.of(one.call)),
            breakers=[known[id] for id in one.breakers[:NAMED_MOST] if id in known],
            more=max(0, len(one.breakers) - NAMED_MOST),
            own=not may_approve(actor, one),
            not_known=_not_known(one),
        )
        for one in found
    ]


def _not_known(approval: Approval) -> str:
    call = Kept.of(approval.call).call
    if isinstance(call, CommandCall) or approval.decided_at is not None:
        return ""
    unknown = not_known(dict.fromkeys(approval.breakers, call.wish.instances or ()))
    return words.not_known(sorted(set(call.wish.instances or ()).intersection(*unknown.values())))


def does(kept: Kept) -> str:
    """What the call would do: "Force open for 10 min"."""
    glass = f", past {kept.break_glass}" if kept.break_glass else ""
    return _act(kept.call) + glass


def _act(call: AnyCall) -> str:
    if isinstance(call, CommandCall):
        of = f" on {', '.join(call.instances)}" if call.instances else ""
        return words.state_title(call.command) + of
    wish = call.wish
    mode = "Force open" if wish.mode == "forced_open" else "Force closed"
    where = f" on {', '.join(wish.instances)}" if wish.instances else ""
    where += f" except on {', '.join(wish.excepted)}" if wish.excepted else ""
    if wish.starts_at is not None:
        where += f" from {exact(wish.starts_at)}"
    if wish.lasts is not None:
        return f"{mode}{where} for {_span(wish.lasts.total_seconds())}"
    end = f" until {exact(wish.expires_at)}" if wish.expires_at else ", without an expiry"
    return f"{mode}{where}{end}"


def _span(seconds: float) -> str:
    """A span that was said and not measured: "10 min"."""
    return words.lasting(seconds).removesuffix(" 00 s").removesuffix(" 00 min")


def _headline(pending: list[ApprovalRow]) -> str:
    if not pending:
        return "Nothing waits for another person."
    own = sum(row.own for row in pending)
    wait = words.counted(len(pending), "call waits", "calls wait")
    said = f"{wait} for another person."
    if own == len(pending):
        return f"{said} You asked for {'it' if own == 1 else 'them'}: somebody else approves."
    return said
