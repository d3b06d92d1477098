"""Names to ids: made on first sight, remembered by each process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from breakers.access import Actor
from breakers.db import Connection
from breakers.ingest.bounds import BeyondBound, Bounds, Name
from breakers.sql import statements
from breakers.wire import Happened

_SQL = statements("registry")
# Some 100 bytes an entry; past this the memory of names begins afresh.
_REMEMBERED = 200_000


class GoneFromRegistry(Exception):
    """A remembered row no longer exists; forget what is remembered and try again."""


class Registry:
    """The ids of environments, services, instances and breakers, in this process."""

    def __init__(self) -> None:
        self.edition = 0
        """Ids that were given under another may be of what is gone."""
        self._bounds = Bounds()
        self._environments: dict[str, int] = {}
        self._services: dict[tuple[int, str], int] = {}
        self._instances: dict[tuple[int, str], int] = {}
        self._breakers: dict[tuple[int, str], int] = {}
        self._whole: dict[tuple[str, str, str, str], tuple[int, tuple[int, int]]] = {}

    def forget(self) -> None:
        """Something remembered is no longer there: look everything up again."""
        self.edition += 1
        for known in (self._environments, self._services, self._instances, self._breakers):
            known.clear()
        self._whole.clear()

    def service_id(self, environment: str, service: str) -> int:
        return self._services[self._environments[environment], service]

    def instance_id(self, service_id: int, instance: str) -> int:
        return self._instances[service_id, instance]

    def breaker_id(self, service_id: int, breaker: str) -> int:
        return self._breakers[service_id, breaker]

    def known_ids(self, event: Happened) -> tuple[int, tuple[int, int]] | None:
        """The same as `ids_of` where the event's names are remembered."""
        return self._whole.get((event.environment, event.service, event.breaker, event.instance))

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
        instances: Mapping[Name, Actor | None],
        breakers: Mapping[Name, Actor | None],
    ) -> None:
        """Makes what is not there yet: (environment, service, name) and for whom. Each statement commits by
        itself. Raises BeyondBound for what may not be made, once all else is."""
        if len(self._instances) + len(self._breakers) + len(self._whole) > _REMEMBERED:
            self.forget()
        services = {name[:2]: by for asked in (instances, breakers) for name, by in asked.items()}
        beyond = await self._learn_services(connection, services)
        refused = BeyondBound(
            services=beyond,
            instances=await self._learn_in(
                connection, "instances", self._instances, instances, beyond
            ),
            breakers=await self._learn_in(connection, "breakers", self._breakers, breakers, beyond),
        )
        if refused:
            raise refused

    async def _learn_services(
        self, connection: Connection, asked: Mapping[Name, Actor | None]
    ) -> set[Name]:
        """An environment is made with its first service, and only then."""
        await self._find_environments(connection, asked)

        def missing() -> list[Name]:
            return sorted(
                (environment, service)
                for environment, service in asked
                if (self._environments.get(environment), service) not in self._services
            )

        async def look(statement: str, names: Sequence[Name], **more: Any) -> None:
            names = [name for name in names if name[0] in self._environments]
            if names:
                rows = await _rows(
                    connection,
                    statement,
                    environments=[self._environments[environment] for environment, _ in names],
                    names=[service for _, service in names],
                    **more,
                )
                self._services.update(((parent, name), id) for id, parent, name in rows)

        await look("find_services", missing())
        new = missing()
        if not new:
            return set()
        made, beyond = await self._bounds.admit(connection, [(name, asked[name]) for name in new])
        environments = sorted({environment for environment, _ in made} - self._environments.keys())
        if environments:
            await _rows(connection, "make_environments", names=environments)
            await self._find_environments(connection, made)
        await look("make_services", made, keys=[_key(asked[name]) for name in made])
        await look("find_services", [name for name in missing() if name not in beyond])
        return beyond

    async def _find_environments(self, connection: Connection, asked: Iterable[Name]) -> None:
        new = sorted({name[0] for name in asked} - self._environments.keys())
        if new:
            rows = await _rows(connection, "find_environments", names=new)
            self._environments.update((name, id) for id, name in rows)

    async def _learn_in(
        self,
        connection: Connection,
        table: str,
        known: dict[tuple[int, str], int],
        asked: Mapping[Name, Actor | None],
        beyond_services: set[Name],
    ) -> set[Name]:
        """Instances or breakers of services that are known by now; gives those that may not be made."""
        places = {
            (self.service_id(*name[:2]), name[2]): name
            for name in asked
            if name[:2] not in beyond_services
        }

        async def look(statement: str, places: Sequence[tuple[int, str]], **more: Any) -> None:
            if places:
                lists = [service for service, _ in places], [name for _, name in places]
                rows = await _rows(connection, statement, services=lists[0], names=lists[1], **more)
                known.update(((parent, name), id) for id, parent, name in rows)

        await look(f"find_{table}", sorted(places.keys() - known.keys()))
        new = sorted(places.keys() - known.keys())
        if not new:
            return set()
        made, beyond = await self._bounds.admit(
            connection, [(places[place], asked[places[place]]) for place in new]
        )
        let_in = [place for place in new if places[place] not in beyond]
        await look(f"make_{table}", let_in, keys=[_key(asked[name]) for name in made])
        # What another process made between our first look and our insert is seen the second time.
        await look(f"find_{table}", [place for place in let_in if place not in known])
        return beyond


def _key(by: Actor | None) -> int | None:
    return by.id if by is not None and by.kind == "key" else None


async def _rows(connection: Connection, name: str, **parameters: Any) -> list[Any]:
    cursor = await connection.execute(_SQL[name], parameters)
    return await cursor.fetchall()
