"""How many names a key may make, so that a runaway service cannot fill the registry.

Counted are the services and breakers that the key made, and its instances that are not retired. Nothing is
counted for a name that is known. Each process counts by itself, so several at once may overshoot by what they
make within a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from breakers.access import Actor
from breakers.db import Connection
from breakers.errors import FieldError
from breakers.ingest.jobs import Introduce
from breakers.wire import Happened

NAMES_MAX = 50_000
"""For a key that has no figure of its own."""
_COUNTED_FOR_S = 1.0
_COUNT = """
    SELECT (SELECT count(*) FROM service WHERE made_by_id = %(key)s)
         + (SELECT count(*) FROM breaker WHERE made_by_id = %(key)s)
         + (SELECT count(*) FROM instance WHERE made_by_id = %(key)s AND retired_at IS NULL)
"""
Name = tuple[str, ...]
"""Environment and service, or these with an instance or a breaker."""


class Bounds:
    """What each key has made, as counted a moment ago and by this process since."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[float, int]] = {}

    async def admit(
        self, connection: Connection, asked: Iterable[tuple[Name, Actor | None]]
    ) -> tuple[list[Name], set[Name]]:
        """Names that are in no table yet, by who asks for them: those that may be made, and the rest.

        What is made for nobody (None) has no bound.
        """
        let_in: list[Name] = []
        beyond: set[Name] = set()
        for name, by in asked:
            if by is None or by.kind != "key":
                let_in.append(name)
                continue
            counted_at, made = self._made.get(by.id, (float("-inf"), 0))
            now = time.monotonic()
            if now - counted_at > _COUNTED_FOR_S:
                cursor = await connection.execute(_COUNT, {"key": by.id})
                row = await cursor.fetchone()
                counted_at, made = now, row[0] if row else 0
            if made < (by.names_max or NAMES_MAX):
                let_in.append(name)
                made += 1
            else:
                beyond.add(name)
            self._made[by.id] = counted_at, made
        return let_in, beyond


class BeyondBound(Exception):
    """Names that were not made, for their keys have made as many as they may; all others were."""

    def __init__(self, *, services: set[Name], instances: set[Name], breakers: set[Name]) -> None:
        super().__init__("This key has made as many names as it may.")
        self._services, self._instances, self._breakers = services, instances, breakers

    def __bool__(self) -> bool:
        return bool(self._services or self._instances or self._breakers)

    def errors_of(self, event: Happened) -> tuple[FieldError, ...]:
        """Why this event is refused; nothing where it is not."""
        service = event.environment, event.service
        return self._errors(service, event.instance, (event.breaker,))

    def refuses(self, job: Introduce) -> bool:
        hello = job.hello
        breakers = [item.breaker for item in hello.breakers]
        return bool(self._errors((job.environment, hello.service), hello.instance, breakers))

    def _errors(
        self, service: Name, instance: str, breakers: Sequence[str]
    ) -> tuple[FieldError, ...]:
        if service in self._services:
            return (_error("service"),)
        errors = []
        if (*service, instance) in self._instances:
            errors.append(_error("instance"))
        if any((*service, breaker) in self._breakers for breaker in breakers):
            errors.append(_error("breaker"))
        return tuple(errors)


def _error(field: str) -> FieldError:
    return FieldError((field,), "is new, and this key has made as many names as it may")
