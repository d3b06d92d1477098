"""What a demo system consists of, as data: its processes, its faults and its customers' door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Service:
    """`copies` processes of `python -m demo.services.NAME`."""

    name: str
    copies: int
    calls: tuple[str, ...] = ()
    """Services whose addresses it is given."""
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    name: str
    """As `demo.faults` takes it."""
    service: str
    """Whose processes misbehave."""
    mode: str
    """What they are told, see demo/services/process.py."""
    opens: tuple[tuple[str, str], ...]
    """(service, breaker) that it should open."""
    label: str
    """On its button."""
    effect: str
    """What is wrong while it is on, as a person would say it."""


@dataclass(frozen=True)
class System:
    name: str
    services: tuple[Service, ...]
    faults: tuple[Fault, ...]
    entrance: str
    """The service that customers talk to."""
    requests_per_s: float
    """Load on each process of the entrance."""
