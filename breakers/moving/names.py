"""The ids of what lines name; rows are made on first sight, as ingest makes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from django.db import connection

from breakers.sql import statements

_SQL = statements("registry")
# Some 100 bytes an entry; past this the memory of names begins afresh.
_REMEMBERED = 200_000
_LOOKS = ("find", "make", "find")
"""What another process made between our looking and our making is found the second time."""


class _OfService(Protocol):
    @property
    def environment(self) -> str: ...
    @property
    def service(self) -> str: ...


class _OfBreaker(_OfService, Protocol):
    @property
    def breaker(self) -> str: ...


class _OfInstance(_OfService, Protocol):
    @property
    def instance(self) -> str: ...


class Names:
    """Learnt a few thousand lines at a time."""

    def __init__(self) -> None:
        self._environments: dict[str, int] = {}
        self._services: dict[tuple[int, str], int] = {}
        self._instances: dict[tuple[int, str], int] = {}
        self._breakers: dict[tuple[int, str], int] = {}

    def service(self, line: _OfService) -> int:
        return self._services[self._environments[line.environment], line.service]

    def breaker(self, line: _OfBreaker) -> int:
        return self._breakers[self.service(line), line.breaker]

    def instance(self, line: _OfInstance) -> int:
        return self._instances[self.service(line), line.instance]

    def learn(
        self,
        *,
        services: Iterable[tuple[str, str]] = (),
        instances: Iterable[tuple[str, str, str]] = (),
        breakers: Iterable[tuple[str, str, str]] = (),
    ) -> None:
        """Makes what is not there yet; services first, for the others name them."""
        services = set(services)
        if len(self._instances) + len(self._breakers) > _REMEMBERED:
            self._instances.clear()
            self._breakers.clear()
        for statement in _LOOKS:
            if new := sorted(
                {environment for environment, _ in services} - self._environments.keys()
            ):
                rows = _rows(f"{statement}_environments", names=new)
                self._environments.update((name, id) for id, name in rows)
        self._learn("services", self._services, {(self._environments[e], s) for e, s in services})
        for table, known, asked in (
            ("instances", self._instances, instances),
            ("breakers", self._breakers, breakers),
        ):
            of = {(self._services[self._environments[e], s], name) for e, s, name in asked}
            self._learn(table, known, of)

    @staticmethod
    def _learn(table: str, known: dict[tuple[int, str], int], asked: set[tuple[int, str]]) -> None:
        parents = "environments" if table == "services" else "services"
        for statement in _LOOKS:
            if new := sorted(asked - known.keys()):
                lists = {parents: [parent for parent, _ in new], "names": [name for _, name in new]}
                # Made by a command and not for a key, whose bound they would count towards.
                keys = {"keys": [None] * len(new)} if statement == "make" else {}
                rows = _rows(f"{statement}_{table}", **lists, **keys)
                known.update(((parent, name), id) for id, parent, name in rows)


def _rows(name: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], parameters)
        return list(cursor.fetchall())
