"""`/instances/`: every process that holds breakers, and whether it is heard."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from breakers.access import Actor, instances_for
from breakers.models import Instance
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

SHOWN_MOST = 500


@page
@require_safe
def instances_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    rows = list(
        instances_for(actor)
        .filter(retired_at__isnull=True)
        .annotate(held=Count("breaker_instances", filter=Q(breaker_instances__left_at=None)))
        .order_by("service__environment__name", "service__name", "name")[:SHOWN_MOST]
    )
    rows.sort(key=lambda one: (one.lost_at is None, one.connected is not False))
    return render_page(
        request,
        actor,
        "instances/list.html",
        {
            "headline": _headline(rows, limited=actor.limited),
            "instances": rows,
            "shown_most": SHOWN_MOST,
        },
    )


def _headline(rows: Sequence[Instance], *, limited: bool) -> str:
    if not rows:
        return f"No instance{' that you may see' if limited else ''} has been heard of yet."
    services = len({one.service_id for one in rows})
    lost = sum(one.lost_at is not None for one in rows)
    said = f"{words.counted(len(rows), 'instance')} of {words.counted(services, 'service')}"
    unheard = sum(one.lost_at is None and one.connected is False for one in rows)
    bad = [f"{lost} lost"] * bool(lost) + [f"{unheard} not heard any more"] * bool(unheard)
    return f"{' and '.join(bad)}, of {said}." if bad else f"{said}, all heard."
