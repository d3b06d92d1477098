"""Where messages go."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from breakers.models.registry import NAME_MAX


class Channel(models.Model):
    """A place for messages. Deleted channels stay for their deliveries' sake, without their secrets."""

    name = models.CharField(max_length=NAME_MAX)
    kind = models.CharField(max_length=40)
    config = models.JSONField(default=dict)
    """What is not secret; a secret that is set stands here as stars."""
    sealed = models.TextField(db_default="")
    """The secrets, encrypted; see alerts.sealing."""
    enabled = models.BooleanField(default=True)
    disabled_why = models.CharField(max_length=500, null=True)
    """Set where Panelboard itself switched it off."""
    failing_since = models.DateTimeField(null=True)
    """The first failed delivery with no success after it."""
    last_failure = models.CharField(max_length=500, null=True)
    """Why the last attempt failed, be it a delivery's or a test's; null: it did not, or there was none."""
    last_attempt_at = models.DateTimeField(null=True)
    """When the last attempt at a delivery ended; null: there was none."""
    last_took_ms = models.PositiveIntegerField(null=True)
    """How long it took, or a test since then that succeeded; null: nothing is known."""
    foreseen = models.CharField(max_length=500, null=True)
    """Why its messages would not be sent from here, as it is judged each minute; an attempt knows better."""
    environments = ArrayField(models.CharField(max_length=NAME_MAX), null=True)
    """The limits of whoever made it; null: none."""
    services = ArrayField(models.CharField(max_length=NAME_MAX), null=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "channel"
        constraints = [
            models.CheckConstraint(condition=~models.Q(name=""), name="channel_named"),
            models.CheckConstraint(
                condition=models.Q(enabled=False) | models.Q(disabled_why__isnull=True),
                name="channel_enabled_or_why_not",
            ),
            models.CheckConstraint(
                condition=models.Q(deleted_at__isnull=True) | models.Q(enabled=False, sealed=""),
                name="channel_deleted_is_off",
            ),
        ]

    def __str__(self) -> str:
        return self.name
