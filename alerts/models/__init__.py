"""The tables of alerting."""

from alerts.models.channel import Channel
from alerts.models.delivery import Attempt, Delivery, DeliveryStatus, MessageType
from alerts.models.incident import EntryKind, Incident, IncidentBreaker, IncidentEntry, Status
from alerts.models.rule import GroupLabel, Rule, Severity, Standing

__all__ = [
    "Attempt",
    "Channel",
    "Delivery",
    "DeliveryStatus",
    "EntryKind",
    "GroupLabel",
    "Incident",
    "IncidentBreaker",
    "IncidentEntry",
    "MessageType",
    "Rule",
    "Severity",
    "Standing",
    "Status",
]
