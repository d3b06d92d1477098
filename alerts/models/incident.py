"""What is firing, which breakers are in it, and what became of it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from alerts.models.policy import Policy
from alerts.models.rule import Rule, Severity
from breakers.models.registry import NAME_MAX, Breaker


class Status(models.TextChoices):
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Incident(models.Model):
    """A rule firing for one group of breakers, or a policy that suggests something for one breaker. At most
    one per rule (or policy) and group is unresolved.

    Whoever changes an incident or posts a message about it holds its row lock, so that deliveries'
    ids grow in the order of their messages.
    """

    rule = models.ForeignKey(Rule, models.PROTECT, null=True, related_name="incidents")
    policy = models.ForeignKey(Policy, models.PROTECT, null=True, related_name="incidents")
    """Set where there is no rule."""
    rule_name = models.CharField(max_length=NAME_MAX)
    """The rule's, or the policy's."""
    severity = models.CharField(max_length=8, choices=Severity)
    muted = models.BooleanField(db_default=False)
    """Nothing is sent: the rule is a dry run."""
    environment = models.CharField(max_length=NAME_MAX)
    target = models.CharField(max_length=NAME_MAX, null=True)
    group_key = models.CharField(max_length=64)
    summary = models.CharField(max_length=2000)
    condition = models.CharField(max_length=500)
    """What the kind said when it fired, such as “opened”."""
    services = ArrayField(models.CharField(max_length=NAME_MAX))
    breakers_total = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=NAME_MAX, null=True)
    resolved_at = models.DateTimeField(null=True)
    clear_at = models.DateTimeField(null=True)
    """All is well; it resolves at this time unless something fires before."""
    update_at = models.DateTimeField(null=True)
    """An `incident.updated` is owed from this time on."""
    updated_at = models.DateTimeField(null=True)
    """When the last `incident.updated` was posted."""
    snoozed_until = models.DateTimeField(null=True)
    """Until then no `incident.updated` is sent, and at that time one is."""

    class Meta:
        db_table = "incident"
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "group_key"],
                condition=models.Q(resolved_at__isnull=True),
                name="incident_unresolved",
            ),
            models.UniqueConstraint(
                fields=["policy", "group_key"],
                condition=models.Q(resolved_at__isnull=True),
                name="incident_suggested",
            ),
            models.CheckConstraint(
                condition=models.Q(rule__isnull=False, policy__isnull=True)
                | models.Q(rule__isnull=True, policy__isnull=False),
                name="incident_of_rule_or_policy",
            ),
            models.CheckConstraint(
                condition=models.Q(severity__in=Severity.values), name="incident_severity"
            ),
            models.CheckConstraint(
                condition=models.Q(resolved_at__isnull=True)
                | models.Q(resolved_at__gte=models.F("started_at")),
                name="incident_resolved_after_start",
            ),
            models.CheckConstraint(
                condition=models.Q(resolved_at__isnull=True)
                | models.Q(clear_at__isnull=True, update_at__isnull=True),
                name="incident_resolved_owes_nothing",
            ),
            models.CheckConstraint(
                condition=models.Q(acknowledged_at__isnull=True, acknowledged_by__isnull=True)
                | models.Q(acknowledged_at__isnull=False, acknowledged_by__isnull=False),
                name="incident_acknowledged_by_someone",
            ),
        ]
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="incident_newest"),
            models.Index(
                fields=["clear_at"],
                condition=models.Q(clear_at__isnull=False),
                name="incident_clears",
            ),
            models.Index(
                fields=["update_at"],
                condition=models.Q(update_at__isnull=False),
                name="incident_updates",
            ),
        ]

    def __str__(self) -> str:
        return self.summary

    @property
    def status(self) -> Status:
        if self.resolved_at is not None:
            return Status.RESOLVED
        return Status.FIRING if self.acknowledged_at is None else Status.ACKNOWLEDGED


class IncidentBreaker(models.Model):
    """A breaker in an incident. `well_at` is null while it fires or has not said that it is well."""

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="members")
    breaker = models.ForeignKey(Breaker, models.CASCADE, related_name="incident_members")
    instance_id = models.BigIntegerField(db_default=0)
    """Set where the rule groups by instance; 0: the whole breaker."""
    joined_at = models.DateTimeField()
    well_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "incident_breaker"
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "breaker", "instance_id"], name="incident_breaker_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.breaker_id} in {self.incident_id}"


class EntryKind(models.TextChoices):
    FIRED = "fired"
    JOINED = "joined"
    RECOVERED = "recovered"
    ACKNOWLEDGED = "acknowledged"
    NOTE = "note"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


class IncidentEntry(models.Model):
    """One line of an incident's timeline."""

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="entries")
    at = models.DateTimeField()
    kind = models.CharField(max_length=12, choices=EntryKind)
    by_name = models.CharField(max_length=NAME_MAX, null=True)
    """Null: Panelboard itself."""
    text = models.CharField(max_length=10_000)

    class Meta:
        db_table = "incident_entry"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=EntryKind.values), name="incident_entry_kind"
            )
        ]
        indexes = [models.Index(fields=["incident", "at", "id"], name="incident_entry_order")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"
