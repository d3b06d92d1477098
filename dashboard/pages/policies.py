"""`/policies/`: what overrides breakers by itself, what it holds now, what it did, and the lever that stops it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from alerts.access import policies_for, policy_of
from alerts.models import Policy, PolicyCase, PolicyLever, PolicyMode
from alerts.policies.fleet import Terms
from alerts.policy_changes import lever_now
from alerts.read import suggestions
from breakers.access import Actor, breakers_for
from breakers.desired.endings import endings
from breakers.live.board import board
from breakers.live.match import Match
from breakers.models import Override, Scope
from breakers.wire import Summary
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

DID_MOST = 50


@dataclass(frozen=True, slots=True)
class Case:
    """A breaker that a policy holds, or would."""

    row: PolicyCase
    summary: Summary

    @property
    def is_held(self) -> bool:
        return self.row.phase != "watching"


@page
@require_safe
def policies_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    """`?edit=ID` opens the form for one of them."""
    chosen = request.GET.get("edit")
    policy = policy_of(actor, Scope.ADMIN, chosen) if chosen else None
    policies = list(policies_for(actor).order_by("name", "id"))
    cases = _cases(actor)
    suggested = suggestions(actor)
    did = list(
        Override.objects.filter(by_kind="policy", breaker__in=breakers_for(actor))
        .select_related("breaker__service__environment")
        .order_by("-created_at", "-id")[:DID_MOST]
    )
    lever = lever_now()
    return render_page(
        request,
        actor,
        "policies/list.html",
        {
            "headline": _headline(
                policies, cases, lever, suggested=len(suggested), limited=actor.limited
            ),
            "policies": policies,
            "lever": lever,
            "may_pull": Scope.OPERATE in actor.can and not actor.limited,
            "chosen": policy,
            "cases": cases,
            "suggested": suggested,
            "did": did,
            "did_most": DID_MOST,
            "endings": endings(did),
            "modes": PolicyMode.values,
            "usual": Terms(percent=50),
        },
    )


def _cases(actor: Actor) -> list[Case]:
    """Those in hand and those that something keeps it from, the first to go on first."""
    rows = list(
        PolicyCase.objects.filter(
            Q(phase__in=["holding", "probing"]) | Q(blocked__isnull=False),
            breaker__in=breakers_for(actor),
        )
        .select_related("policy")
        .order_by("until", "pk")
    )
    if not rows:
        return []
    shown = {int(summary.id): summary for summary in board(actor, Match())}
    return [Case(row, shown[row.breaker_id]) for row in rows if row.breaker_id in shown]


def _headline(
    policies: Sequence[Policy],
    cases: Sequence[Case],
    lever: PolicyLever | None,
    *,
    suggested: int,
    limited: bool,
) -> str:
    if lever is not None and lever.stopped:
        return "All policies are stopped."
    on = [policy for policy in policies if policy.enabled]
    held = sum(case.is_held for case in cases)
    if not policies and not held and not suggested:
        return "No policy that you may see." if limited else "No policies: nobody acts but people."
    said = (
        f"{words.counted(len(on), 'policy', 'policies')} {'watches' if len(on) == 1 else 'watch'}"
        if on
        else "No policy is watching"
    )
    only = sum(policy.mode == PolicyMode.SUGGEST for policy in on)
    if on and only == len(on):
        said += ", only to suggest"
    holds = f" {words.counted(held, 'breaker')} held open now." if held else " Nothing is held."
    waits = (
        f" {words.counted(suggested, 'suggestion')} for a person to decide." if suggested else ""
    )
    return f"{said}.{waits}{holds}"
