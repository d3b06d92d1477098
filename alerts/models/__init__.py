"""The tables of alerting."""

from alerts.models.channel import Channel
from alerts.models.delivery import Attempt, Delivery, DeliveryStatus, MessageType
from alerts.models.incident import EntryKind, Incident, IncidentBreaker, IncidentEntry, Status
from alerts.models.policy import Policy, PolicyCase, PolicyLever, PolicyMode
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
    "Policy",
    "PolicyCase",
    "PolicyLever",
    "PolicyMode",
    "Rule",
    "Severity",
    "Standing",
    "Status",
]
