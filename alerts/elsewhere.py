"""A channel that stopped working, and who else is told."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Case, Exists, IntegerField, OuterRef, QuerySet, Value, When

from alerts.incidents import GIVE_UP_AFTER
from alerts.messages import Message, to_json
from alerts.models import Channel, Delivery, MessageType, Rule
from alerts.wake import wake_delivery
from breakers.access import Actor
from breakers.audit import record

PANELBOARD = Actor(kind="server", id=0, name="Panelboard", can=frozenset())


def disable_channel(channel: Channel, *, why: str, now: datetime) -> None:
    """Switches a locked channel off; its page and one other channel say so."""
    channel.enabled, channel.disabled_why, channel.updated_at = False, why, now
    channel.save(update_fields=["enabled", "disabled_why", "updated_at"])
    record(
        PANELBOARD,
        "disable_channel",
        kind="channel",
        id=channel.pk,
        subject=channel.name,
        reason=why,
        before={"enabled": True},
        after={"enabled": False},
    )
    other = _others(channel).first()
    if other is None:
        return
    message = Message(
        type=MessageType.CHANNEL_DISABLED.value,
        timestamp=now,
        channel_id=str(channel.pk),
        channel_name=channel.name,
        channel_kind=channel.kind,
        text=why,
    )
    Delivery.objects.create(
        channel=other,
        type=message.type,
        message=to_json(message),
        created_at=now,
        due_at=now,
        give_up_at=now + GIVE_UP_AFTER,
    )
    transaction.on_commit(wake_delivery)


def _others(channel: Channel) -> QuerySet[Channel]:
    """Working channels with the same limits: those of the same rules first, then those that people read."""
    shared = Rule.channels.through.objects.filter(
        channel_id=OuterRef("pk"), rule__channels=channel.pk
    )
    return (
        Channel.objects.filter(
            enabled=True,
            failing_since=None,
            environments=channel.environments,
            services=channel.services,
        )
        .exclude(pk=channel.pk)
        .annotate(
            shares=Exists(shared),
            read=Case(
                When(kind="webhook", then=Value(0)), default=Value(1), output_field=IntegerField()
            ),
        )
        .order_by("-shares", "-read", "pk")
    )
