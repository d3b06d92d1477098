from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from ninja import Router, Schema

from alerts.access import channels_for
from alerts.api.forms import Authed, Limit, plain, statuses_of
from alerts.deliver import retry_delivery
from alerts.models import Delivery, DeliveryStatus
from alerts.read import deliveries_for, deliveries_out, incident_to_operate
from breakers.access import Actor, row_id
from breakers.api.auth import OPERATE, READ
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.errors import NotFound

router = Router()


class ChannelRef(Schema):
    """`id` and `name` are null where the channel lies outside the caller's limits."""

    id: str | None
    name: str | None
    kind: str


class AttemptOut(Schema):
    number: int
    at: datetime
    ok: bool
    status: int | None
    detail: str
    took_ms: int


class DeliveryOut(Schema):
    """One message to one place. `message_id` is the same at each attempt."""

    id: str
    message_id: str
    incident: str | None
    channel: ChannelRef
    type: str
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None
    superseded_by: str | None
    detail: str
    log: list[AttemptOut]


class DeliveryPage(Schema):
    items: list[DeliveryOut]
    next: str | None


@router.get("", auth=READ, response=DeliveryPage)
def get_deliveries(
    request: Authed, status: str = "", limit: Limit = LIMIT_DEFAULT, cursor: str = ""
) -> DeliveryPage:
    """Deliveries, newest first; `status` is a comma list."""
    asked = statuses_of(status, DeliveryStatus.values)
    rows = deliveries_for(request.auth).select_related("channel").prefetch_related("log")
    found, next_ = page(
        rows.filter(status__in=asked) if asked else rows,
        order=[("created_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "deliveries", "status": ",".join(sorted(asked))},
    )
    return DeliveryPage(items=[_out(row, request.auth) for row in found], next=next_)


@router.get("/{delivery_id}", auth=READ, response=DeliveryOut)
def get_delivery(request: Authed, delivery_id: str) -> DeliveryOut:
    """One delivery with its attempts."""
    return _out(_row(request.auth, delivery_id), request.auth)


@router.post("/{delivery_id}/retry", auth=OPERATE, response=DeliveryOut)
def post_retry(request: Authed, delivery_id: str) -> DeliveryOut:
    """Tries a dead delivery again for another 72 hours, or one that waits at once; 409 if it was sent,
    or replaced by a newer message."""
    row = _row(request.auth, delivery_id)
    if row.incident_id is not None:
        incident_to_operate(request.auth, str(row.incident_id))
    if not channels_for(request.auth).filter(pk=row.channel_id).exists():
        raise NotFound("Its channel lies outside your limits, or is gone.")
    retry_delivery(row.pk, by=request.auth, now=timezone.now())
    return _out(_row(request.auth, delivery_id), request.auth)


def _row(actor: Actor, delivery_id: str) -> Delivery:
    row = (
        deliveries_for(actor)
        .select_related("channel")
        .prefetch_related("log")
        .filter(pk=row_id(delivery_id))
        .first()
    )
    if row is None:
        raise NotFound("No such delivery.")
    return row


def _out(row: Delivery, actor: Actor) -> DeliveryOut:
    (out,) = deliveries_out([row], actor)
    return DeliveryOut(**plain(out))
