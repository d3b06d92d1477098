"""The tables of the domain, by what they hold."""

from breakers.models.access import ApiKey, Person, Role, Scope
from breakers.models.audit import AuditEntry
from breakers.models.desired import Command, Override
from breakers.models.history import Event, Snapshot
from breakers.models.otlp import OtlpMemory
from breakers.models.outbox import OutboxRow
from breakers.models.registry import Boot, Breaker, BreakerInstance, Environment, Instance, Service

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Boot",
    "Breaker",
    "BreakerInstance",
    "Command",
    "Environment",
    "Event",
    "Instance",
    "OtlpMemory",
    "OutboxRow",
    "Override",
    "Person",
    "Role",
    "Scope",
    "Service",
    "Snapshot",
]
