"""The named statements of `sql/commit.sql`, on the connection of one transaction."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import TupleRow, namedtuple_row

from breakers.db import Connection
from breakers.sql import statements

_SQL = statements("commit")


class Statements:
    """Runs them by name, with parameters by name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, name: str, **parameters: Any) -> AsyncCursor[TupleRow]:
        return await self._connection.execute(_SQL[name], parameters)

    async def fetch(self, name: str, **parameters: Any) -> list[TupleRow]:
        return await (await self.execute(name, **parameters)).fetchall()

    async def named(self, name: str, **parameters: Any) -> list[Any]:
        """Rows whose columns are read by name."""
        async with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            await cursor.execute(_SQL[name], parameters)
            return list(await cursor.fetchall())
