"""Policies, what each remembers of breakers that are not well, and the lever that stops them all."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from breakers.models.registry import NAME_MAX, Breaker


class PolicyMode(models.TextChoices):
    ENFORCE = "enforce"
    SUGGEST = "suggest"
    """Only an incident says what it would do; a person does it."""


class Policy(models.Model):
    """A standing rule that overrides by itself. Deleted ones stay for the sake of what they did."""

    name = models.CharField(max_length=NAME_MAX)
    enabled = models.BooleanField(default=True)
    mode = models.CharField(max_length=7, choices=PolicyMode)
    matchers = ArrayField(models.TextField(), default=list)
    trip_count = models.PositiveIntegerField(null=True)
    trip_percent = models.FloatField(null=True)
    """One of both is set."""
    min_instances = models.PositiveIntegerField()
    window = models.PositiveIntegerField()
    hold = models.PositiveIntegerField()
    probe_instances = models.PositiveIntegerField()
    probe_successes = models.PositiveIntegerField()
    max_breakers = models.PositiveIntegerField()
    environments = ArrayField(models.CharField(max_length=NAME_MAX), null=True)
    """The limits of whoever made it; null: none."""
    services = ArrayField(models.CharField(max_length=NAME_MAX), null=True)
    version = models.PositiveIntegerField(default=1)
    """Grows with each change, so that workers know when their compiled copy is old."""
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "policy"
        constraints = [
            models.CheckConstraint(condition=~models.Q(name=""), name="policy_named"),
            models.CheckConstraint(
                condition=models.Q(mode__in=PolicyMode.values), name="policy_mode"
            ),
            models.CheckConstraint(
                condition=models.Q(trip_count__isnull=True, trip_percent__isnull=False)
                | models.Q(trip_count__isnull=False, trip_percent__isnull=True),
                name="policy_count_or_percent",
            ),
            models.CheckConstraint(
                condition=models.Q(deleted_at__isnull=True) | models.Q(enabled=False),
                name="policy_deleted_is_off",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PolicyCase(models.Model):
    """A breaker that is not well under a policy: `alerts.policies.fleet.Case` as a row."""

    policy = models.ForeignKey(Policy, models.CASCADE, related_name="cases")
    breaker = models.ForeignKey(Breaker, models.CASCADE, related_name="+")
    began_at = models.DateTimeField()
    phase = models.CharField(
        max_length=8, choices=[(p, p) for p in ("watching", "holding", "probing")]
    )
    openings = models.JSONField(null=True)
    """Null: nobody has looked yet."""
    tripped_at = models.DateTimeField(null=True)
    again = models.PositiveIntegerField(default=0)
    until = models.DateTimeField(null=True)
    probes = ArrayField(models.CharField(max_length=NAME_MAX), default=list)
    recovered = ArrayField(models.CharField(max_length=NAME_MAX), default=list)
    reopened = models.CharField(max_length=NAME_MAX, null=True)
    revision = models.BigIntegerField(null=True)
    """That of the override by which it holds the breaker."""
    suggested = models.BooleanField(default=False)
    """An incident has said so, in this outage of the breaker."""
    blocked = models.CharField(max_length=500, null=True)
    """Why it does not do what it would."""
    check_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "policy_case"
        constraints = [
            models.UniqueConstraint(fields=["breaker", "policy"], name="policy_case_once"),
            models.CheckConstraint(
                condition=models.Q(phase="watching", until__isnull=True, revision__isnull=True)
                | models.Q(
                    phase__in=["holding", "probing"], until__isnull=False, revision__isnull=False
                ),
                name="policy_case_holds_or_watches",
            ),
        ]
        indexes = [
            models.Index(
                fields=["check_at"],
                condition=models.Q(check_at__isnull=False),
                name="policy_case_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.policy_id} on {self.breaker_id}: {self.phase}"


class PolicyLever(models.Model):
    """One row: whether all policies are stopped, and who said so last. No row: nobody ever did."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    stopped = models.BooleanField()
    reason = models.CharField(max_length=2000)
    by_name = models.CharField(max_length=NAME_MAX)
    at = models.DateTimeField()

    class Meta:
        db_table = "policy_lever"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="policy_lever_is_one")]

    def __str__(self) -> str:
        return "stopped" if self.stopped else "not stopped"
