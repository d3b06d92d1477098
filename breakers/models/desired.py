"""What should be: standing overrides and one-shot commands, each with the revision that made it."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from breakers.models.registry import NAME_MAX, Breaker
from breakers.states import Mode


class Author(models.Model):
    """Who wished it: a person, a key or a policy, by name as it was then."""

    by_kind = models.CharField(max_length=6, choices=[(k, k) for k in ("person", "key", "policy")])
    by_id = models.BigIntegerField()
    by_name = models.CharField(max_length=NAME_MAX)

    class Meta:
        abstract = True


class Override(Author):
    """A standing wish for a breaker. At most one per breaker has not ended."""

    breaker = models.ForeignKey(Breaker, models.CASCADE, related_name="overrides")
    revision = models.BigIntegerField()
    mode = models.CharField(max_length=13, choices=[(m, m) for m in Mode])
    reason = models.CharField(max_length=2000)
    instances = ArrayField(models.CharField(max_length=NAME_MAX), null=True)
    """Names; null: all instances and those to come."""
    excepted = ArrayField(models.CharField(max_length=NAME_MAX), db_default=[])
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    """Null: stands until it is released."""
    ended_at = models.DateTimeField(null=True)
    end = models.CharField(
        max_length=8, null=True, choices=[(e, e) for e in ("released", "expired", "replaced")]
    )

    class Meta:
        db_table = "override"
        constraints = [
            models.UniqueConstraint(
                fields=["breaker"],
                condition=models.Q(ended_at__isnull=True),
                name="override_standing",
            ),
            models.CheckConstraint(condition=models.Q(mode__in=list(Mode)), name="override_mode"),
            models.CheckConstraint(condition=~models.Q(reason=""), name="override_reasoned"),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=models.Q(ended_at__isnull=True),
                name="override_expiry",
            )
        ]

    def __str__(self) -> str:
        return f"{self.mode} of {self.breaker_id} at revision {self.revision}"


class Command(Author):
    """A one-shot, run at most once by each instance it is for, and by none after `expires_at`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    breaker = models.ForeignKey(Breaker, models.CASCADE, related_name="commands")
    revision = models.BigIntegerField()
    command = models.CharField(max_length=5, choices=[(c, c) for c in ("trip", "reset")])
    reason = models.CharField(max_length=2000)
    instances = ArrayField(models.CharField(max_length=NAME_MAX))
    """The names it was given for, or all that were known then."""
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "command"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(command__in=["trip", "reset"]), name="command_known"
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="command_reasoned"),
        ]
        indexes = [models.Index(fields=["breaker", "-revision"], name="command_latest")]

    def __str__(self) -> str:
        return f"{self.command} of {self.breaker_id} at revision {self.revision}"
