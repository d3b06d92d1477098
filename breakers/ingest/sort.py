"""The events of one request, each judged by itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from breakers.access import Actor
from breakers.errors import FieldError
from breakers.ingest.formats import Item
from breakers.ingest.validate import Clock, decoder_of, enveloped, happened_from_api
from breakers.wire import EventIn, Happened

_read = decoder_of(EventIn)


@dataclass
class Sorted:
    """The events of one request: those let in, and the rest with the reasons, by their index."""

    indexes: list[int] = field(default_factory=list)
    events: list[Happened] = field(default_factory=list)
    rejected: dict[int, tuple[FieldError, ...]] = field(default_factory=dict)
    outside: int = 0


def sort(items: Sequence[Item], actor: Actor, *, now: datetime) -> Sorted:
    """Each event by itself: let in, or rejected with every reason."""
    found = Sorted()
    clock = Clock(now)
    default = actor.default_environment
    for index, item in enumerate(items):
        body = list(item.errors) if item.errors else _read(item.raw)
        if isinstance(body, list):
            found.rejected[index] = tuple(body)
            continue
        if item.id is not None:
            body = enveloped(body, id=item.id, occurred_at=item.occurred_at)
            if isinstance(body, list):
                found.rejected[index] = tuple(body)
                continue
        event = happened_from_api(body, default_environment=default, clock=clock)
        if isinstance(event, list):
            found.rejected[index] = tuple(event)
        elif not actor.may_touch(environment=event.environment, service=event.service):
            found.outside += 1
            found.rejected[index] = (_outside(actor, event),)
        else:
            found.indexes.append(index)
            found.events.append(event)
    return found


def _outside(actor: Actor, event: Happened) -> FieldError:
    inside = actor.environments is None or event.environment in actor.environments
    return FieldError(("service" if inside else "environment",), "lies outside this key's limits")
