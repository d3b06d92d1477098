"""What the judge needs to see, read under the locks that keep it so."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from breakers.access import Actor
from breakers.guards.judge import Ground, Limits, ServiceSeen
from breakers.models import Breaker
from breakers.sql import statements

TOUCHED_WITHIN = timedelta(minutes=15)
_SQL = statements("guards")
_CALLERS = 0x7063 << 48
"""Where the advisory locks of callers begin; a person's id is added, 0 for keys that nobody known has made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Touched:
    """A breaker that the call would touch, with its live instances."""

    id: int
    service_id: int
    service: str
    environment: str
    limits: Limits
    revision: int
    instances: Sequence[str]


@dataclass(frozen=True, slots=True)
class Sight:
    """All that the call would touch, and the grounds on which it is judged."""

    breakers: tuple[Touched, ...]
    grounds: tuple[Ground, ...]

    @property
    def environments(self) -> list[str]:
        return sorted({one.environment for one in self.breakers})

    @property
    def services(self) -> list[str]:
        return sorted({one.service for one in self.breakers})

    @property
    def basis(self) -> str:
        """A digest of what a call was asked for: breakers, revisions, live instances, and the limits there."""
        said = [
            [one.id, one.revision, list(one.instances), str(one.limits)] for one in self.breakers
        ]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def lock_caller(by: Actor, breaker_ids: Iterable[int]) -> None:
    """Where calls on any of these breakers may need another person, nobody else calls there by the same word until
    the end of the transaction. Before all other locks."""
    _run("lock_caller", lock=_CALLERS + (by.person or 0), breakers=list(breaker_ids))


def look(breaker_ids: Iterable[int], *, by: Actor, now: datetime, lock: bool = True) -> Sight:
    """What a call of these breakers finds. With `lock` nobody changes what is wished of their services until the
    end of the transaction."""
    ids = sorted(set(breaker_ids))
    services = sorted(set(Breaker.objects.filter(pk__in=ids).values_list("service_id", flat=True)))
    if lock:
        _run("lock_services", services=services)
    breakers = tuple(
        Touched(
            id=id,
            service_id=service,
            service=name,
            environment=environment,
            limits=Limits(
                max_forced_percent=percent, confirm=confirm, four_eyes_above=four_eyes_above
            ),
            revision=revision,
            instances=instances,
        )
        for id, service, name, environment, percent, confirm, four_eyes_above, revision, instances in _run(
            "breakers", breakers=ids
        )
    )
    return Sight(breakers, tuple(_grounds(breakers, services, by=by, now=now)))


def _grounds(
    breakers: Sequence[Touched], services: list[int], *, by: Actor, now: datetime
) -> Iterable[Ground]:
    names = sorted({one.environment for one in breakers})
    live: dict[int, set[int]] = defaultdict(set)
    forced: dict[int, set[int]] = defaultdict(set)
    if any(one.limits.max_forced_percent is not None for one in breakers):
        for service, id, is_live, is_forced in _run("standing", services=services):
            if is_live:
                live[service].add(id)
            if is_forced:
                forced[service].add(id)
    touched: dict[str, set[int]] = defaultdict(set)
    if any(one.limits.four_eyes_above is not None for one in breakers):
        for name, id in _run(
            "touched", person=by.person, since=now - TOUCHED_WITHIN, environments=names
        ):
            touched[name].add(id)
    for name in names:
        here = [one for one in breakers if one.environment == name]
        yield Ground(
            environment=name,
            limits=here[0].limits,
            touching=frozenset(one.id for one in here),
            services=[
                ServiceSeen(name=service, live=frozenset(live[id]), forced=frozenset(forced[id]))
                for id, service in sorted({(one.service_id, one.service) for one in here})
            ],
            touched=frozenset(touched[name]),
        )


def show_again(breaker_ids: Sequence[int]) -> None:
    """Pages that show these breakers look again, once it is committed."""
    _run("show_again", breakers=list(breaker_ids))


def _run(name: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], parameters)
        return [] if cursor.description is None else cursor.fetchall()
