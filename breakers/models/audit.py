"""The audit log. The database itself refuses to change or delete a row of it (I7)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from breakers.models.registry import NAME_MAX


class AuditEntry(models.Model):
    """One control action or one change of rules, channels, keys or people."""

    at = models.DateTimeField(db_default=Now())
    actor_kind = models.CharField(max_length=6)
    """`person`, `key`, `policy`, or `server` for what ends by itself."""
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=NAME_MAX)
    action = models.CharField(max_length=40)
    environment = models.CharField(max_length=NAME_MAX, null=True)
    service = models.CharField(max_length=NAME_MAX, null=True)
    subject_kind = models.CharField(max_length=20)
    subject_id = models.CharField(max_length=NAME_MAX)
    subject = models.CharField(max_length=500)
    """What it was done to, in words."""
    reason = models.CharField(max_length=2000, db_default="")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=NAME_MAX, null=True)

    class Meta:
        db_table = "audit_entry"
        indexes = [
            models.Index(fields=["-at", "-id"], name="audit_entry_newest"),
            models.Index(fields=["subject_kind", "subject_id", "-at"], name="audit_entry_subject"),
            models.Index(
                fields=["request_id"],
                condition=models.Q(request_id__isnull=False),
                name="audit_entry_request",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.subject}"
