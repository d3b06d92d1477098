"""Names to ids: made on first sight, remembered by each process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from breakers.db import Connection
from breakers.sql import statements
from breakers.wire import Happened

_SQL = statements("registry")
# Some 100 bytes an entry; past this the memory of names begins afresh.
_REMEMBERED = 200_000


class Registry:
    """The ids of environments, services, instances and breakers, in this process."""

    def __init__(self) -> None:
        self._environments: dict[str, int] = {}
        self._services: dict[tuple[int, str], int] = {}
        self._instances: dict[tuple[int, str], int] = {}
        self._breakers: dict[tuple[int, str], int] = {}
        self._whole: dict[tuple[str, str, str, str], tuple[int, tuple[int, int]]] = {}

    def forget(self) -> None:
        """Something remembered is no longer there: look everything up again."""
        for known in (self._environments, self._services, self._instances, self._breakers):
            known.clear()
        self._whole.clear()

    def service_id(self, environment: str, service: str) -> int:
        return self._services[self._environments[environment], service]

    def instance_id(self, service_id: int, instance: str) -> int:
        return self._instances[service_id, instance]

    def breaker_id(self, service_id: int, breaker: str) -> int:
        return self._breakers[service_id, breaker]

    def knows(self, event: Happened) -> bool:
        return (event.environment, event.service, event.breaker, event.instance) in self._whole

    def ids_of(self, event: Happened) -> tuple[int, tuple[int, int]]:
        """Service, and breaker with instance, of an event whose names were learnt."""
        names = event.environment, event.service, event.breaker, event.instance
        ids = self._whole.get(names)
        if ids is None:
            service = self.service_id(event.environment, event.service)
            pair = self._breakers[service, event.breaker], self._instances[service, event.instance]
            ids = self._whole[names] = service, pair
        return ids

    async def learn(
        self,
        connection: Connection,
        *,
        services: Iterable[tuple[str, str]],
        instances: Iterable[tuple[str, str, str]],
        breakers: Iterable[tuple[str, str, str]],
    ) -> None:
        """Makes what is not there yet; (environment, service[, name]). Each statement commits by itself."""
        if len(self._instances) + len(self._breakers) + len(self._whole) > _REMEMBERED:
            self.forget()
        services, instances, breakers = set(services), set(instances), set(breakers)
        services |= {key[:2] for key in instances} | {key[:2] for key in breakers}
        new = sorted({environment for environment, _ in services} - self._environments.keys())
        if new:
            rows = await _rows(connection, "environments", names=new)
            self._environments.update((name, id) for id, name in rows)
        await self._learn_in(
            connection,
            "services",
            self._services,
            [(self._environments[e], s) for e, s in services],
        )
        for table, known, asked in (
            ("instances", self._instances, instances),
            ("breakers", self._breakers, breakers),
        ):
            await self._learn_in(
                connection, table, known, [(self.service_id(e, s), name) for e, s, name in asked]
            )

    @staticmethod
    async def _learn_in(
        connection: Connection,
        table: str,
        known: dict[tuple[int, str], int],
        asked: Iterable[tuple[int, str]],
    ) -> None:
        new = sorted(set(asked) - known.keys())
        if not new:
            return
        parents = "environments" if table == "services" else "services"
        lists = {parents: [parent for parent, _ in new], "names": [name for _, name in new]}
        rows = await _rows(connection, table, **lists)
        known.update(((parent, name), id) for id, parent, name in rows)
        # A row made by another process between our insert and our reading is seen the second time.
        missing = [key for key in new if key not in known]
        if missing:
            lists = {
                parents: [parent for parent, _ in missing],
                "names": [name for _, name in missing],
            }
            rows = await _rows(connection, table, **lists)
            known.update(((parent, name), id) for id, parent, name in rows)


async def _rows(connection: Connection, name: str, **parameters: Any) -> list[Any]:
    cursor = await connection.execute(_SQL[name], parameters)
    return await cursor.fetchall()
