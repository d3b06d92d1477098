"""What happened: append-only tables, range-partitioned by time (made in SQL by the first migrations)."""

from __future__ import annotations

from django.db import models


class _Recorded(models.Model):
    """The columns that an event and a snapshot share. `id`s are the caller's, or made here."""

    pk = models.CompositePrimaryKey("service_id", "event_id", "occurred_at")
    service_id = models.BigIntegerField()
    event_id = models.CharField(max_length=200)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    breaker_id = models.BigIntegerField()
    instance_id = models.BigIntegerField()
    boot = models.CharField(max_length=200, null=True)
    seq = models.BigIntegerField(null=True)
    detail = models.TextField(null=True)
    labels = models.JSONField(null=True)
    metrics = models.JSONField(null=True)

    class Meta:
        abstract = True


class Event(_Recorded):
    """An immutable record: a state change or a note. Partitioned by week of `occurred_at`."""

    type = models.CharField(max_length=12)
    from_state = models.CharField(max_length=13, null=True)
    to_state = models.CharField(max_length=13, null=True)
    natural_state = models.CharField(max_length=13, null=True)
    cause = models.CharField(max_length=10)
    reason = models.CharField(max_length=64, null=True)
    library = models.CharField(max_length=200, null=True)
    origin = models.CharField(max_length=6)

    class Meta:
        managed = False
        db_table = "event"

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class Snapshot(_Recorded):
    """A periodic sample of a breaker instance's counters. Partitioned by day of `occurred_at`."""

    natural_state = models.CharField(max_length=13, null=True)

    class Meta:
        managed = False
        db_table = "snapshot"

    def __str__(self) -> str:
        return f"snapshot {self.event_id}"
