"""The named statements of `sql/commit.sql`, on the connection of one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import TupleRow, namedtuple_row

from breakers.db import Connection
from breakers.ingest.pgtext import array
from breakers.sql import statements

_SQL = statements("commit")


class Statements:
    """Runs them by name, with parameters by name; lists go as array literals."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, name: str, **parameters: Any) -> AsyncCursor[TupleRow]:
        return await self._connection.execute(_SQL[name], _with_arrays(parameters))

    async def fetch(self, name: str, **parameters: Any) -> list[TupleRow]:
        return await (await self.execute(name, **parameters)).fetchall()

    async def named(self, name: str, **parameters: Any) -> list[Any]:
        """Rows whose columns are read by name."""
        async with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            await cursor.execute(_SQL[name], _with_arrays(parameters))
            return list(await cursor.fetchall())

    @contextlib.asynccontextmanager
    async def copying(self, name: str, lines: Iterable[str]) -> AsyncIterator[None]:
        """Lines on their way into a table; what the body computes, it computes while PostgreSQL writes."""
        async with self._connection.cursor() as cursor, cursor.copy(_SQL[name]) as copy:
            await copy.write("".join(lines).encode())
            yield


def _with_arrays(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        name: array(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }
