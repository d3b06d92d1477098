"""What should be: standing overrides and one-shot commands, each with the revision that made it."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from breakers.authors import author_words
from breakers.models.registry import NAME_MAX, Breaker
from breakers.states import Mode


class Author(models.Model):
    """Who wished it: a person, a key or a policy, by name as it was then."""

    by_kind = models.CharField(max_length=6, choices=[(k, k) for k in ("person", "key", "policy")])
    by_id = models.BigIntegerField()
    by_name = models.CharField(max_length=NAME_MAX)
    approved_by = models.CharField(max_length=NAME_MAX, null=True)
    """The other person, where it needed one."""

    class Meta:
        abstract = True

    @property
    def author(self) -> str:
        """ "ana", "policy checkout"."""
        return author_words(self.by_kind, self.by_name)


class Forced(Author):
    """What an override holds its breaker to, now or later."""

    mode = models.CharField(max_length=13, choices=[(m, m) for m in Mode])
    reason = models.CharField(max_length=2000)
    instances = ArrayField(models.CharField(max_length=NAME_MAX), null=True)
    """Names; null: all instances and those to come."""
    excepted = ArrayField(models.CharField(max_length=NAME_MAX), db_default=[])
    expires_at = models.DateTimeField(null=True)
    """Null: stands until it is released."""
    broke = models.CharField(max_length=40, null=True)
    """The guard that was broken for it, or for the override that it replaced."""

    class Meta:
        abstract = True


class Override(Forced):
    """A standing wish for a breaker. At most one per breaker has not ended."""

    breaker = models.ForeignKey(Breaker, models.CASCADE, related_name="overrides")
    revision = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())
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
            ),
            models.Index(fields=["by_kind", "by_id", "-created_at"], name="override_author"),
        ]

    def __str__(self) -> str:
        return f"{self.mode} of {self.breaker_id} at revision {self.revision}"


class PlannedOverride(Forced):
    """An override that is to stand from `starts_at` on. At most one per breaker waits."""

    breaker = models.ForeignKey(Breaker, models.CASCADE, related_name="planned")
    revision = models.BigIntegerField()
    """Of the planning; its start makes another."""
    created_at = models.DateTimeField(db_default=Now())
    starts_at = models.DateTimeField()
    stood = models.ForeignKey(Override, models.SET_NULL, null=True, related_name="+")
    """The override that stood when it was planned, and is replaced at the start; one made since then is not."""
    ended_at = models.DateTimeField(null=True)
    end = models.CharField(
        max_length=9,
        null=True,
        choices=[(e, e) for e in ("started", "cancelled", "replaced", "missed")],
    )

    class Meta:
        db_table = "planned_override"
        constraints = [
            models.UniqueConstraint(
                fields=["breaker"],
                condition=models.Q(ended_at__isnull=True),
                name="planned_override_waiting",
            ),
            models.CheckConstraint(
                condition=models.Q(mode__in=list(Mode)), name="planned_override_mode"
            ),
            models.CheckConstraint(
                condition=~models.Q(reason=""), name="planned_override_reasoned"
            ),
            models.CheckConstraint(
                condition=models.Q(expires_at__isnull=True)
                | models.Q(expires_at__gt=models.F("starts_at")),
                name="planned_override_span",
            ),
        ]
        indexes = [
            models.Index(
                fields=["starts_at"],
                condition=models.Q(ended_at__isnull=True),
                name="planned_override_start",
            ),
            models.Index(
                fields=["by_kind", "by_id", "-created_at"], name="planned_override_author"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mode} of {self.breaker_id} from {self.starts_at:%Y-%m-%d %H:%M}"


class Command(Author):
    """A one-shot, run at most once by each instance it is for, and by none after `expires_at`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    breaker = models.ForeignKey(Breaker, models.CASCADE, related_name="commands", db_index=False)
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
        indexes = [
            models.Index(fields=["breaker", "-revision"], name="command_latest"),
            models.Index(fields=["by_kind", "by_id", "-created_at"], name="command_author"),
        ]

    def __str__(self) -> str:
        return f"{self.command} of {self.breaker_id} at revision {self.revision}"
