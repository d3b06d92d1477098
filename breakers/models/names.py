"""What names were, and what is no longer there."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from breakers.models.registry import NAME_MAX


class Named(models.TextChoices):
    """What has a name of its own."""

    SERVICE = "service"
    BREAKER = "breaker"
    INSTANCE = "instance"


class FormerName(models.Model):
    """A name that leads to what it was renamed to: what reports under it means that, until that is removed."""

    kind = models.CharField(max_length=8, choices=Named)
    parent_id = models.BigIntegerField()
    """The environment of a service, the service of a breaker or an instance."""
    name = models.CharField(max_length=NAME_MAX)
    target_id = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "former_name"
        constraints = [
            models.UniqueConstraint(fields=["kind", "parent_id", "name"], name="former_name_once")
        ]
        indexes = [models.Index(fields=["kind", "target_id"], name="former_name_of")]

    def __str__(self) -> str:
        return f"{self.name}, now {self.kind} {self.target_id}"


class Removed(models.Model):
    """A service, breaker or instance that was removed, by the id that history still has.

    Where `erase`, its history goes as well: a task does that, and this row goes last.
    """

    kind = models.CharField(max_length=8, choices=Named)
    of_id = models.BigIntegerField()
    service_id = models.BigIntegerField()
    environment = models.CharField(max_length=NAME_MAX)
    service = models.CharField(max_length=NAME_MAX)
    name = models.CharField(max_length=NAME_MAX)
    target = models.CharField(max_length=NAME_MAX, null=True)
    erase = models.BooleanField()
    removed_at = models.DateTimeField()
    by_name = models.CharField(max_length=NAME_MAX)

    class Meta:
        db_table = "removed"
        constraints = [models.UniqueConstraint(fields=["kind", "of_id"], name="removed_once")]
        indexes = [models.Index(fields=["kind", "service_id"], name="removed_of_service")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}, removed"
