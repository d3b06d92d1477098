"""Claiming deliveries and writing how it went (I4). What sends is elsewhere: here is only the database.

A claim is a lease with a number. A worker that dies leaves it to run out, and one that comes back too late
finds another number and writes nothing. The id and the body are the same at every attempt.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q

from alerts.channels import ChannelKind as Kind
from alerts.channels import Failed, Outcome, Parcel
from alerts.elsewhere import disable_channel
from alerts.incidents import GIVE_UP_AFTER, supersede
from alerts.messages import from_json
from alerts.models import Attempt, Channel, Delivery, DeliveryStatus, IncidentBreaker, MessageType
from alerts.read import webhook_id
from alerts.ready import kind_of
from alerts.retry import Dead, Done, RetryAt, next_step
from alerts.sealing import unseal
from alerts.sentences import Told
from alerts.telling import told_of
from alerts.wake import wake_delivery
from breakers.access import Actor
from breakers.audit import record
from breakers.errors import Conflict
from breakers.live.board import summaries
from breakers.wire import Summary

DISABLE_AFTER = timedelta(days=5)
_BREAKERS_MAX = 20
_log = structlog.get_logger(__name__)


SLOW_S = 3.0


class Speed(StrEnum):
    """For how long an attempt is likely to hold a slot, by the channel's last one."""

    QUICK = "quick"
    UNKNOWN = "unknown"
    """There was none, or none since it was switched on."""
    SLOW = "slow"
    """It failed, or took longer than SLOW_S."""


# Channels take turns: those with the fewest attempts under way, and of these whose last one ended longest ago. By
# when deliveries came due, the largest backlog would always be first. Nothing of a delivery is in that order, so
# that channels beyond the limit are not looked at. Of each channel a few: first tries before repeated ones; none
# while an earlier message of its incident and channel is unfinished: by `finished_at`, since by the status the
# planner may take the index `delivery_due` and compare all that waits for a channel (10,000: 10 s) with one another.
# What an incident told the channel before is looked up for each by itself. As NOT EXISTS it is joined, and while
# statistics are older than a burst, all that wait are compared with all.
_DUE = """
SELECT d.id
FROM (
    SELECT c.id, c.last_attempt_at, coalesce(b.under_way, 0) AS under_way
    FROM channel c
    LEFT JOIN (
        SELECT channel_id, count(*) AS under_way FROM unnest(%(busy)s::bigint[]) AS u (channel_id) GROUP BY 1
    ) b ON b.channel_id = c.id
    WHERE c.enabled AND %(speed)s = CASE
        WHEN c.failing_since IS NOT NULL OR c.last_took_ms > %(slow_ms)s THEN 'slow'
        WHEN c.last_took_ms IS NULL THEN 'unknown'
        ELSE 'quick' END
      AND coalesce(b.under_way, 0) < %(each)s
    ORDER BY under_way, c.last_attempt_at NULLS FIRST, c.id
) c
CROSS JOIN LATERAL (
    SELECT d.id
    FROM delivery d
    WHERE d.channel_id = c.id AND d.status = 'pending' AND d.due_at <= %(now)s
      AND (d.leased_until IS NULL OR d.leased_until <= %(now)s)
      AND (
          SELECT e.id FROM delivery e
          WHERE e.incident_id = d.incident_id AND e.channel_id = d.channel_id AND e.id < d.id
            AND e.finished_at IS NULL
          LIMIT 1) IS NULL
    ORDER BY d.attempts > 0, d.due_at, d.id
    LIMIT %(each)s - c.under_way
) d
ORDER BY c.under_way, c.last_attempt_at NULLS FIRST, c.id
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery in hand until its lease runs out. `ready` is an outcome where nothing can be sent."""

    id: int
    fence: int
    channel_id: int
    speed: Speed
    kind: Kind | None
    parcel: Parcel | None
    ready: Outcome | None


def claim_due(
    *, now: datetime, limit: int, each: int, speed: Speed, busy: Collection[int] = ()
) -> list[Claimed]:
    """At most `limit` deliveries to channels of one speed; `each` of one channel, with those that are under
    way: `busy` names its channel for each of them."""
    if limit <= 0:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            _DUE,
            {
                "now": now,
                "limit": limit,
                "each": each,
                "speed": speed,
                "slow_ms": SLOW_S * 1000,
                "busy": list(busy),
            },
        )
        ids = [number for (number,) in cursor.fetchall()]
    return [one for one in (_claim(number, speed, now) for number in ids) if one is not None]


def _claim(delivery_id: int, speed: Speed, now: datetime) -> Claimed | None:
    """Takes one, unless another worker was first."""
    with transaction.atomic():
        row = (
            Delivery.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .select_related("channel")
            .filter(Q(leased_until=None) | Q(leased_until__lte=now), status=DeliveryStatus.PENDING)
            .filter(pk=delivery_id, due_at__lte=now)
            .first()
        )
        if row is None:
            return None
        row.fence += 1
        row.attempts += 1
        kind, problem = kind_of(row.channel)
        row.leased_until = now + timedelta(seconds=kind.lease_s if kind else Kind.lease_s)
        row.save(update_fields=["fence", "attempts", "leased_until"])
        parcel = None
        if kind is not None:
            parcel, problem = _packed(row, kind, now)
    ready = Failed(None, problem) if problem else None
    return Claimed(row.pk, row.fence, row.channel_id, speed, kind, parcel, ready)


def _packed(row: Delivery, kind: Kind, now: datetime) -> tuple[Parcel | None, str]:
    """What to send, or why it cannot be put together: an attempt that failed, which holds up no other."""
    try:
        with transaction.atomic():
            if row.body is None:
                message, breakers = from_json(row.message), summaries(_breakers(row))
                row.body = kind.render(message, breakers, _told(row, breakers, now))
                row.save(update_fields=["body"])
            return _parcel(row, now), ""
    except (OperationalError, InterfaceError):
        raise
    except Exception as problem:
        _log.exception("delivery not rendered", delivery=row.pk)
        return None, f"The message could not be put together ({type(problem).__name__})."


def _told(row: Delivery, breakers: Sequence[Summary], now: datetime) -> Told:
    """What is so and why, while that is the question."""
    if row.incident is None or row.type == MessageType.RESOLVED:
        return Told()
    return told_of(row.incident, breakers, now=now)


def _parcel(row: Delivery, now: datetime) -> Parcel:
    assert row.body is not None  # rendered just before
    return Parcel(
        id=webhook_id(row),
        message=from_json(row.message),
        body=row.body,
        now=now,
        secrets=unseal(row.channel.sealed).get("made", {}),
    )


def _breakers(row: Delivery) -> Sequence[int]:
    members = IncidentBreaker.objects.filter(incident=row.incident_id).order_by("joined_at", "id")
    return list(dict.fromkeys(members.values_list("breaker_id", flat=True)[: 2 * _BREAKERS_MAX]))[
        :_BREAKERS_MAX
    ]


def finish(claimed: Claimed, outcome: Outcome, *, took_ms: int, now: datetime, luck: float) -> None:
    """Writes the result of an attempt, if the claim still stands; the channel's row comes first."""
    with transaction.atomic():
        channel = Channel.objects.select_for_update(no_key=True).get(pk=claimed.channel_id)
        _note_on_channel(channel, outcome, took_ms, now)
        row = (
            Delivery.objects.select_for_update(no_key=True)
            .filter(pk=claimed.id, fence=claimed.fence, status=DeliveryStatus.PENDING)
            .first()
        )
        if row is None:
            _log.warning("delivery claim was lost", delivery=claimed.id)
            return
        Attempt.objects.create(
            delivery=row,
            number=row.attempts,
            at=now,
            ok=not isinstance(outcome, Failed),
            status=outcome.status,
            detail=outcome.detail[:500],
            took_ms=took_ms,
        )
        row.leased_until = None
        row.detail = outcome.detail[:500]
        step = next_step(
            outcome, attempts=row.attempts, give_up_at=row.give_up_at, now=now, luck=luck
        )
        match step:
            case Done():
                row.status, row.finished_at = DeliveryStatus.SENT, now
            case Dead():
                row.status, row.finished_at = DeliveryStatus.DEAD, now
                row.detail = f"{outcome.detail} {step.why}"[:500]
            case RetryAt():
                row.due_at = step.at
                newer = _newer(row)
                if newer is not None:
                    supersede(row, newer, now)
        row.save()
        _log.info(
            "delivery attempted",
            delivery=row.pk,
            channel=row.channel_id,
            type=row.type,
            attempt=row.attempts,
            outcome=row.status,
            took_ms=took_ms,
        )


def _newer(row: Delivery) -> Delivery | None:
    """The last message after this one on the same incident to the same place."""
    if row.incident_id is None:
        return None
    later = Delivery.objects.filter(incident=row.incident_id, channel=row.channel_id, pk__gt=row.pk)
    return later.order_by("-pk").first()


def _note_on_channel(channel: Channel, outcome: Outcome, took_ms: int, now: datetime) -> None:
    failed = isinstance(outcome, Failed)
    since = (channel.failing_since or now) if failed else None
    channel.failing_since, channel.foreseen = since, None
    channel.last_failure = outcome.detail[:500] if failed else None
    channel.last_attempt_at, channel.last_took_ms = now, took_ms
    channel.save(
        update_fields=[
            "failing_since",
            "last_failure",
            "foreseen",
            "last_attempt_at",
            "last_took_ms",
        ]
    )
    if not isinstance(outcome, Failed) or since is None or not channel.enabled:
        return
    if outcome.gone:
        disable_channel(channel, why="Its receiver answered 410: it is gone.", now=now)
    elif now - since >= DISABLE_AFTER:
        disable_channel(channel, why="Every attempt failed for 5 days.", now=now)


@transaction.atomic
def bury(now: datetime) -> int:
    """What waits for a channel that is switched off is dead, where an operator sees it; gives how many."""
    rows = Delivery.objects.filter(
        Q(leased_until=None) | Q(leased_until__lte=now),
        status=DeliveryStatus.PENDING,
        channel__enabled=False,
    )
    return Delivery.objects.filter(
        pk__in=rows.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .order_by("pk")
        .values("pk")
    ).update(
        status=DeliveryStatus.DEAD,
        finished_at=now,
        leased_until=None,
        detail="The channel is switched off.",
    )


def retry_delivery(delivery_id: int, *, by: Actor, now: datetime) -> Delivery:
    """Another 72 hours for a dead one, or the next try at once for one that waits; raises Conflict."""
    with transaction.atomic():
        row = (
            Delivery.objects.select_for_update(no_key=True, of=("self",))
            .select_related("channel")
            .get(pk=delivery_id)
        )
        if row.status == DeliveryStatus.SENT:
            raise Conflict("It was sent.")
        if row.status == DeliveryStatus.SUPERSEDED:
            raise Conflict("A newer message on the same incident replaced it.")
        if not row.channel.enabled:
            raise Conflict("The channel is switched off; switch it on first.")
        record(
            by,
            "retry_delivery",
            kind="delivery",
            id=row.pk,
            subject=f"{row.type} to {row.channel.name}",
            before={"status": row.status},
        )
        if row.status == DeliveryStatus.DEAD:
            row.status, row.finished_at = DeliveryStatus.PENDING, None
            row.give_up_at = now + GIVE_UP_AFTER
        row.due_at = now
        row.save(update_fields=["status", "finished_at", "give_up_at", "due_at"])
        transaction.on_commit(wake_delivery)
        return row
