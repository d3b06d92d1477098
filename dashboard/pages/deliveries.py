"""`/deliveries/`: each message to each place, and how it went."""

from __future__ import annotations

from collections import Counter

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from alerts.channels.email import has_reached_nobody
from alerts.models import DeliveryStatus
from alerts.read import DeliveryOut, newest_deliveries
from breakers.access import Actor
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

SHOWN_MOST = 200
STATUSES = tuple(status.value for status in DeliveryStatus)


@page
@require_safe
def deliveries_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    status = request.GET.get("status", "")
    deliveries = newest_deliveries(
        actor, statuses=[status] if status in STATUSES else [], limit=SHOWN_MOST
    )
    return render_page(
        request,
        actor,
        "deliveries/list.html",
        {
            "headline": _headline(deliveries, limited=actor.limited),
            "deliveries": deliveries,
            "statuses": STATUSES,
            "status": status,
            "shown_most": SHOWN_MOST,
        },
    )


def _headline(deliveries: list[DeliveryOut], *, limited: bool) -> str:
    if not deliveries:
        return "No message that you may see." if limited else "No messages here."
    counts = Counter(
        "unsent" if has_reached_nobody(delivery.detail) else delivery.status
        for delivery in deliveries
    )
    said = [
        f"{counts[status]} {word}"
        for status, word in (
            ("dead", "given up"),
            ("pending", "on the way"),
            ("unsent", "written to files and sent to nobody"),
            ("sent", "delivered"),
            ("superseded", "superseded"),
        )
        if counts[status]
    ]
    return f"Of the last {words.counted(len(deliveries), 'message')}: {', '.join(said)}."
