"""How an incident is said, whole or within a reader's limits. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def summary_of(
    *, first: str, condition: str, environment: str, target: str | None, total: int, services: int
) -> str:
    """One line for people; a lone breaker is named, as `first`."""
    if total == 1:
        return f"{first} {condition} in {environment}"
    of = "1 service" if services == 1 else f"{services} services"
    what = f"{total} breakers of {of} {condition} in {environment}"
    return f"{target}: {what}" if target else what


def summary_within(
    named: Collection[tuple[str, str]], *, condition: str, environment: str, target: str | None
) -> str:
    """The same of the breakers that a reader may see, each as (service, breaker)."""
    return summary_of(
        first="/".join(next(iter(named))) if len(named) == 1 else "",
        condition=condition,
        environment=environment,
        target=target,
        total=len(named),
        services=len({service for service, _ in named}),
    )


def incident_within(
    message: Mapping[str, Any], services: Collection[str] | None
) -> Mapping[str, Any] | None:
    """An announced incident as a reader limited to these services sees it; None: nothing of it."""
    incident: Mapping[str, Any] = message["incident"]
    if services is None:
        return incident
    names = {id: (service, breaker) for id, (service, breaker) in message["breakers"].items()}
    within = [id for id in incident["breakers"] if id in names and names[id][0] in services]
    if not within or len(within) == len(incident["breakers"]):
        return incident if within else None
    summary = summary_within(
        [names[id] for id in within],
        condition=message["condition"],
        environment=message["environment"],
        target=incident["target"],
    )
    return {**incident, "breakers": within, "summary": summary}
