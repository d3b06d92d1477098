"""Who is there: environments, services, instances, breakers, and each breaker inside each instance."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from breakers.states import State

NAME_MAX = 200


class Environment(models.Model):
    """A world of its own (`prod`, `staging`): nothing is grouped or steered across environments."""

    name = models.CharField(max_length=NAME_MAX, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    max_forced_percent = models.PositiveSmallIntegerField(null=True)
    """How many of a service's breakers may be forced by hand; null: all. With the next two, see `breakers.guards`."""
    confirm = models.BooleanField(db_default=False)
    """Control calls must carry the environment's name."""
    four_eyes_above = models.PositiveIntegerField(null=True)
    """Who touches more breakers than this in 15 minutes needs another person; null: nobody does."""

    class Meta:
        db_table = "environment"
        constraints = [
            models.CheckConstraint(condition=~models.Q(name=""), name="environment_named"),
            models.CheckConstraint(
                condition=models.Q(max_forced_percent__isnull=True)
                | models.Q(max_forced_percent__lte=100),
                name="environment_percent",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Service(models.Model):
    """A deployable that calls others."""

    environment = models.ForeignKey(
        Environment, models.PROTECT, related_name="services", db_index=False
    )
    name = models.CharField(max_length=NAME_MAX)
    made_by = models.ForeignKey(
        "breakers.ApiKey",
        models.SET_NULL,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    """The key whose event or hello named it first. Keys are revoked, never deleted."""
    created_at = models.DateTimeField(db_default=Now())
    desired_number = models.BigIntegerField(db_default=0)
    """Raised under this row's lock at each change of desired state, so that a cursor skips none."""

    class Meta:
        db_table = "service"
        constraints = [
            models.UniqueConstraint(fields=["environment", "name"], name="service_once"),
            models.CheckConstraint(condition=~models.Q(name=""), name="service_named"),
        ]
        indexes = [models.Index(fields=["made_by"], name="service_made_by")]

    def __str__(self) -> str:
        return self.name


class Instance(models.Model):
    """One running process of a service.

    Live means neither lost nor retired. `connected` is null for an instance known by HTTP events
    alone, which is never lost. The table `absence` (SQL only) has when it was retired before, or had no such
    breaker.
    """

    service = models.ForeignKey(Service, models.PROTECT, related_name="instances", db_index=False)
    name = models.CharField(max_length=NAME_MAX)
    boot = models.CharField(max_length=NAME_MAX, null=True)
    session = models.UUIDField(null=True)
    """The agent session that speaks for this instance; another session's writes do not count."""
    session_since = models.DateTimeField(null=True)
    """When that session took it over."""
    connection = models.BigIntegerField(null=True)
    """Which of its boot's connections that is, by the agent's own count; null where it does not count them."""
    agent_name = models.CharField(max_length=NAME_MAX, db_default="")
    agent_version = models.CharField(max_length=NAME_MAX, db_default="")
    labels = models.JSONField(db_default={})
    connected = models.BooleanField(null=True)
    made_by = models.ForeignKey(
        "breakers.ApiKey",
        models.SET_NULL,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    created_at = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())
    lost_at = models.DateTimeField(null=True)
    clock_behind_s = models.FloatField(null=True)
    """How far its clock is behind the server's, negative: ahead; null: not known."""
    retired_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "instance"
        constraints = [
            models.UniqueConstraint(fields=["service", "name"], name="instance_once"),
            models.CheckConstraint(condition=~models.Q(name=""), name="instance_named"),
        ]
        indexes = [
            models.Index(
                fields=["made_by"], condition=models.Q(retired_at=None), name="instance_made_by"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Boot(models.Model):
    """One life of an instance's process, ranked by the earliest time of any of its state changes."""

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="boots", db_index=False)
    boot = models.CharField(max_length=NAME_MAX)
    first_at = models.DateTimeField()

    class Meta:
        db_table = "boot"
        constraints = [models.UniqueConstraint(fields=["instance", "boot"], name="boot_once")]

    def __str__(self) -> str:
        return self.boot


class Breaker(models.Model):
    """A named breaker of a service, guarding calls to a target.

    The table `touched` (SQL only) has, for each transaction of the last minutes, the breakers of which it
    changed anything that is shown; the hub reads on from there.
    """

    service = models.ForeignKey(Service, models.PROTECT, related_name="breakers", db_index=False)
    name = models.CharField(max_length=NAME_MAX)
    target = models.CharField(max_length=NAME_MAX, null=True)
    made_by = models.ForeignKey(
        "breakers.ApiKey",
        models.SET_NULL,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    change = models.BigIntegerField(db_default=0)
    """Raised under this row's lock at each change; the hub ignores lower ones."""
    revision = models.BigIntegerField(db_default=0)
    """Of the desired state; only grows."""
    desired_number = models.BigIntegerField(db_default=0)
    """The service's `desired_number` at the last change of this breaker's desired state."""

    class Meta:
        db_table = "breaker"
        constraints = [
            models.UniqueConstraint(fields=["service", "name"], name="breaker_once"),
            models.CheckConstraint(condition=~models.Q(name=""), name="breaker_named"),
            models.CheckConstraint(condition=models.Q(revision__gte=0), name="breaker_revision"),
        ]
        indexes = [
            models.Index(fields=["service", "desired_number"], name="breaker_desired"),
            models.Index(fields=["made_by"], name="breaker_made_by"),
        ]

    def __str__(self) -> str:
        return self.name


class BreakerInstances(models.QuerySet["BreakerInstance"]):
    def there(self) -> BreakerInstances:
        """Those of instances that are not retired and still have the breaker."""
        return self.filter(instance__retired_at=None, left_at=None)


class BreakerInstance(models.Model):
    """A breaker inside one instance: the thing that is actually open or closed.

    `state` and its neighbours are those of the highest-ranking state change in history;
    `boot`, `seq`, `at`, `origin` and `event_id` are that event's place in the order.
    """

    breaker = models.ForeignKey(
        Breaker, models.CASCADE, related_name="breaker_instances", db_index=False
    )
    instance = models.ForeignKey(
        Instance, models.CASCADE, related_name="breaker_instances", db_index=False
    )
    created_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=13, db_default=State.UNKNOWN)
    natural_state = models.CharField(max_length=13, null=True)
    since = models.DateTimeField(null=True)
    not_closed_since = models.DateTimeField(null=True)
    """The beginning of the outage that it is in, probes included; null where there is none."""
    cause = models.CharField(max_length=10, null=True)
    reason = models.CharField(max_length=64, null=True)
    detail = models.TextField(null=True)
    said_as = models.CharField(max_length=NAME_MAX, null=True)
    """What the agent calls the breaker, where that was renamed since."""
    presented_by = models.CharField(max_length=NAME_MAX, null=True)
    """The boot whose hello named it last; null: none ever did."""
    leaves_at = models.DateTimeField(null=True)
    """When it will be gone, unless it is named: the next life of its process has not named it yet."""
    left_at = models.DateTimeField(null=True)
    """When the instance no longer had it; null while it has."""

    boot = models.CharField(max_length=NAME_MAX, null=True)
    seq = models.BigIntegerField(null=True)
    at = models.DateTimeField(null=True)
    origin = models.CharField(max_length=6, null=True)
    event_id = models.CharField(max_length=NAME_MAX, null=True)

    library = models.CharField(max_length=NAME_MAX, null=True)
    config = models.JSONField(db_default={})
    labels = models.JSONField(db_default={})
    metrics = models.JSONField(null=True)
    metrics_at = models.DateTimeField(null=True)
    probe_due_at = models.DateTimeField(null=True)
    """While open: when the library lets the next call through as a probe; null: not known."""

    applied_revision = models.BigIntegerField(db_default=0)
    applied_at = models.DateTimeField(null=True)
    refused_revision = models.BigIntegerField(null=True)
    refused_error = models.TextField(null=True)
    refused_at = models.DateTimeField(null=True)

    objects = BreakerInstances.as_manager()

    class Meta:
        db_table = "breaker_instance"
        indexes = [
            models.Index(
                fields=["instance"],
                condition=models.Q(leaves_at__isnull=False) | models.Q(left_at__isnull=False),
                name="breaker_instance_leaving",
            )
        ]
        constraints = [
            models.UniqueConstraint(fields=["breaker", "instance"], name="breaker_instance_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=list(State)), name="breaker_instance_state"
            ),
            models.CheckConstraint(
                condition=models.Q(natural_state__isnull=True)
                | models.Q(natural_state__in=list(State)),
                name="breaker_instance_natural_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.breaker_id} in {self.instance_id}: {self.state}"
