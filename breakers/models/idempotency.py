"""Answers that were given, for whoever asks again with the same key."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

from breakers.models.registry import NAME_MAX

KEPT_FOR = timedelta(hours=24)


class KeptAnswer(models.Model):
    """The answer to the first POST of an actor to a path under an `Idempotency-Key`.

    `status` null: it is being carried out, by a call that could not hold a transaction open meanwhile.
    """

    actor_kind = models.CharField(max_length=6)
    actor_id = models.BigIntegerField()
    path = models.CharField(max_length=500)
    key = models.CharField(max_length=NAME_MAX)
    asked = models.CharField(max_length=64)
    """A digest of what was sent."""
    status = models.PositiveSmallIntegerField(null=True)
    sealed = models.TextField(db_default="")
    """The body, encrypted: it may hold a secret that is shown this once."""
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "kept_answer"
        constraints = [
            models.UniqueConstraint(
                fields=["actor_kind", "actor_id", "path", "key"], name="kept_answer_once"
            )
        ]
        indexes = [
            models.Index(fields=["actor_kind", "actor_id", "created_at"], name="kept_answer_actor"),
            models.Index(fields=["created_at"], name="kept_answer_oldest"),
        ]

    def __str__(self) -> str:
        return f"{self.path}: {self.status}"
