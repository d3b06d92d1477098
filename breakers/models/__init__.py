"""The tables of the domain, by what they hold."""

from breakers.models.access import ApiKey, Person, Role, Scope
from breakers.models.approval import Approval, ApprovalStatus
from breakers.models.audit import AuditEntry
from breakers.models.desired import Command, Forced, Override, PlannedOverride
from breakers.models.history import Event, Snapshot
from breakers.models.idempotency import KeptAnswer
from breakers.models.names import FormerName, Named, Removed
from breakers.models.otlp import OtlpMemory
from breakers.models.outbox import OutboxRow
from breakers.models.registry import Boot, Breaker, BreakerInstance, Environment, Instance, Service

__all__ = [
    "ApiKey",
    "Approval",
    "ApprovalStatus",
    "AuditEntry",
    "Boot",
    "Breaker",
    "BreakerInstance",
    "Command",
    "Environment",
    "Event",
    "Forced",
    "FormerName",
    "Instance",
    "KeptAnswer",
    "Named",
    "OtlpMemory",
    "OutboxRow",
    "Override",
    "Person",
    "PlannedOverride",
    "Removed",
    "Role",
    "Scope",
    "Service",
    "Snapshot",
]
