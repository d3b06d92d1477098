"""What alerts: a condition with its matchers, and what it last said of each breaker."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from alerts.models.channel import Channel
from breakers.models.registry import NAME_MAX, Breaker


class Severity(models.TextChoices):
    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class GroupLabel(models.TextChoices):
    """By what a rule can gather breakers into one incident; the environment always divides."""

    TARGET = "target"
    SERVICE = "service"
    ENVIRONMENT = "environment"
    BREAKER = "breaker"
    INSTANCE = "instance"


class Rule(models.Model):
    """A condition over breakers and what follows from it. Deleted rules stay for their incidents' sake."""

    name = models.CharField(max_length=NAME_MAX)
    enabled = models.BooleanField(default=True)
    kind = models.CharField(max_length=40)
    params = models.JSONField(default=dict)
    matchers = ArrayField(models.TextField(), default=list)
    severity = models.CharField(max_length=8, choices=Severity)
    group_by = ArrayField(models.CharField(max_length=11, choices=GroupLabel))
    clear_for = models.PositiveIntegerField(default=0)
    """Seconds for which all must be well before an incident resolves."""
    dry_run = models.BooleanField(default=False)
    runbook_url = models.CharField(max_length=2000, null=True)
    channels = models.ManyToManyField(Channel, related_name="rules", db_table="rule_channel")
    environments = ArrayField(models.CharField(max_length=NAME_MAX), null=True)
    """The limits of whoever made it; null: none."""
    services = ArrayField(models.CharField(max_length=NAME_MAX), null=True)
    version = models.PositiveIntegerField(default=1)
    """Grows with each change, so that workers know when their compiled copy is old."""
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "rule"
        constraints = [
            models.CheckConstraint(condition=~models.Q(name=""), name="rule_named"),
            models.CheckConstraint(
                condition=models.Q(severity__in=Severity.values), name="rule_severity"
            ),
            models.CheckConstraint(
                condition=models.Q(group_by__contained_by=GroupLabel.values)
                & ~models.Q(group_by=[]),
                name="rule_group_by",
            ),
            models.CheckConstraint(
                condition=models.Q(deleted_at__isnull=True) | models.Q(enabled=False),
                name="rule_deleted_is_off",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Standing(models.Model):
    """What a rule last said of a breaker (or of one instance of it), and when to ask it again.

    A breaker without a row is well. `firing` outlives an incident that was resolved by hand, so that the
    same condition does not fire it again.
    """

    rule = models.ForeignKey(Rule, models.CASCADE, related_name="+")
    breaker = models.ForeignKey(Breaker, models.CASCADE, related_name="+")
    instance_id = models.BigIntegerField(db_default=0)
    """Set where the rule groups by instance; 0: the whole breaker."""
    firing = models.BooleanField(db_default=False)
    check_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "standing"
        constraints = [
            models.UniqueConstraint(fields=["breaker", "rule", "instance_id"], name="standing_once")
        ]
        indexes = [
            models.Index(
                fields=["check_at"],
                condition=models.Q(check_at__isnull=False),
                name="standing_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} of {self.breaker_id}: {'firing' if self.firing else 'well'}"
