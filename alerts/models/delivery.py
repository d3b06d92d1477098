"""One message to one place, and each attempt at it (I4)."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now

from alerts.models.channel import Channel
from alerts.models.incident import Incident


class DeliveryStatus(models.TextChoices):
    PENDING = "pending"
    """Not tried yet, being tried, or waiting for its next try."""
    SENT = "sent"
    SUPERSEDED = "superseded"
    DEAD = "dead"


class MessageType(models.TextChoices):
    FIRING = "incident.firing"
    UPDATED = "incident.updated"
    ACKNOWLEDGED = "incident.acknowledged"
    RESOLVED = "incident.resolved"
    CHANNEL_DISABLED = "channel.disabled"


class Delivery(models.Model):
    """A message on its way. A claim is a lease with a number; only its holder writes the result."""

    incident = models.ForeignKey(Incident, models.CASCADE, null=True, related_name="deliveries")
    """Null: it is about a channel."""
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="deliveries")
    type = models.CharField(max_length=30, choices=MessageType)
    message_id = models.UUIDField(default=uuid.uuid4, unique=True)
    """The same at every attempt, so that a receiver can drop a repeat."""
    message = models.JSONField()
    """What was so when it was posted; see alerts.messages."""
    body = models.TextField(null=True)
    """What is sent, fixed at the first attempt."""
    status = models.CharField(max_length=10, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    give_up_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(db_default=0)
    fence = models.PositiveIntegerField(db_default=0)
    """The number of the last claim."""
    leased_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    superseded_by = models.ForeignKey("self", models.SET_NULL, null=True, related_name="+")
    detail = models.CharField(max_length=500, db_default="")
    """How the last attempt went, or why there will be none."""

    class Meta:
        db_table = "delivery"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=DeliveryStatus.values), name="delivery_status"
            ),
            models.CheckConstraint(
                condition=models.Q(status="pending", finished_at__isnull=True)
                | (~models.Q(status="pending") & models.Q(finished_at__isnull=False)),
                name="delivery_finished_or_pending",
            ),
            models.CheckConstraint(
                condition=models.Q(status="pending") | models.Q(leased_until__isnull=True),
                name="delivery_leased_while_pending",
            ),
        ]
        indexes = [
            models.Index(
                fields=["channel", "due_at"],
                condition=models.Q(status="pending"),
                name="delivery_due",
            ),
            models.Index(fields=["incident", "channel", "id"], name="delivery_in_order"),
            models.Index(fields=["-created_at", "-id"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.type} to {self.channel_id}: {self.status}"


class Attempt(models.Model):
    """One try at a delivery and how it went."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="log")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now())
    ok = models.BooleanField()
    status = models.PositiveSmallIntegerField(null=True)
    """HTTP's or SMTP's, where there was an answer."""
    detail = models.CharField(max_length=500)
    took_ms = models.PositiveIntegerField()

    class Meta:
        db_table = "delivery_attempt"
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="delivery_attempt_once")
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.delivery_id}"
