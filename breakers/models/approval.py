"""Control calls that wait for a second person."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from breakers.models.registry import NAME_MAX


class ApprovalStatus(models.TextChoices):
    PENDING = "pending"
    """Waits until `expires_at`; from then on it has expired, though nobody writes that down."""
    APPROVED = "approved"
    REJECTED = "rejected"
    OUTDATED = "outdated"
    """What it was asked for had changed when somebody approved it: it took no effect."""


class Approval(models.Model):
    """One call, what it was asked for, and what became of it."""

    call = models.JSONField()
    """See `breakers.guards.calls`."""
    basis = models.CharField(max_length=64)
    """A digest of what it would touch, as it was when it was asked for."""
    environments = ArrayField(models.CharField(max_length=NAME_MAX))
    services = ArrayField(models.CharField(max_length=NAME_MAX))
    breakers = ArrayField(models.BigIntegerField())
    reason = models.CharField(max_length=2000)
    why = models.CharField(max_length=500)
    """Why it needs another person."""
    by_kind = models.CharField(max_length=6)
    by_id = models.BigIntegerField()
    by_name = models.CharField(max_length=NAME_MAX)
    by_person = models.BigIntegerField(null=True)
    """Whose word it is: the person, or who made the key; null where nobody knows."""
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=ApprovalStatus, default=ApprovalStatus.PENDING)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=NAME_MAX, null=True)
    note = models.CharField(max_length=2000, db_default="")
    """What they said to it, or why it took no effect."""

    class Meta:
        db_table = "approval"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=ApprovalStatus.values), name="approval_status"
            ),
            models.CheckConstraint(
                condition=models.Q(status="pending", decided_at__isnull=True)
                | (~models.Q(status="pending") & models.Q(decided_at__isnull=False)),
                name="approval_decided_or_pending",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="approval_newest"),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(status="pending"),
                name="approval_pending",
            ),
        ]

    def __str__(self) -> str:
        return f"approval {self.pk}: {self.status}"
