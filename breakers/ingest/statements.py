"""The named statements of `sql/commit.sql`, `history.sql` and `outbox.sql`, on the connection of one transaction.

What is only asked waits for the next whose answer is wanted, and goes with it: a round trip costs two processes
a change of context, and a small commit consists of nothing else. psycopg's own pipeline waits at each statement.
"""

from __future__ import annotations

import contextlib
import re
from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import psycopg
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.generators import fetch_many, send
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import TupleRow

from breakers.db import Connection
from breakers.ingest.pgtext import array
from breakers.ingest.registry import GoneFromRegistry
from breakers.sql import statements

_SQL = statements("commit") | statements("history") | statements("outbox")
_PARAMETER = re.compile(r"%\((\w+)\)s")


class Moved(Exception):
    """Somebody else has changed a breaker since this process did: look at the states, then try again."""


_EXPECTED = {"PB001": Moved, "PB002": GoneFromRegistry}
"""What it means that a statement took for granted what is not so, by the code that it gives to `expect`."""


class _Prepared(NamedTuple):
    """A statement as PostgreSQL knows it, and the names of its parameters in their order."""

    sql: bytes
    names: tuple[str, ...]


class Statements:
    """Runs them by name, with parameters by name; lists go as array literals."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._asked: list[tuple[str, list[bytes | None]]] = []

    @contextlib.asynccontextmanager
    async def all_or_nothing(self) -> AsyncIterator[None]:
        """Rolls the transaction back on any exception."""
        try:
            yield
        except Exception:
            with contextlib.suppress(psycopg.Error):
                await self._connection.rollback()
            raise

    def ask(self, name: str, **parameters: Any) -> int:
        """Has it run after all that was asked before, with the next that is waited for; its place in `answers`."""
        values = [_text(parameters[one]) for one in _prepared(name).names]
        self._asked.append((name, values))
        return len(self._asked) - 1

    async def answers(self) -> list[list[TupleRow]]:
        """The rows of all that was asked. Raises what the first to fail says; what came after it was not run."""
        return [rows for rows, _ in await self._run()]

    async def execute(self, name: str, **parameters: Any) -> None:
        self.ask(name, **parameters)
        await self._run()

    async def fetch(self, name: str, **parameters: Any) -> list[TupleRow]:
        self.ask(name, **parameters)
        return (await self._run())[-1][0]

    async def named(self, name: str, **parameters: Any) -> list[Any]:
        """Rows whose columns are read by name."""
        self.ask(name, **parameters)
        rows, columns = (await self._run())[-1]
        return list(map(_row_class(name, columns)._make, rows))

    @contextlib.asynccontextmanager
    async def copying(
        self, name: str, lines: Callable[[], bytes], *, ahead: bool = False
    ) -> AsyncIterator[Callable[[], object]]:
        """Lines on their way into a table: `lines` makes them while PostgreSQL makes ready, and what the body
        computes, it computes while PostgreSQL writes, if it calls what it gets now and then, for the socket takes
        only so much at once. `ahead` of all that was asked, but for BEGIN.

        psycopg's own `copy` gives the loop a turn at each step, in which it may take in whole requests.
        """
        opening = b""
        if not ahead:
            await self._run()
        elif self._asked and self._asked[0][0] == "begin":
            self._asked.pop(0)
            opening = b"BEGIN; "
        connection, pgconn = self._connection, self._connection.pgconn
        async with connection.lock:
            try:
                pgconn.send_query(opening + _SQL[name].encode())
                pgconn.flush()
                made = lines()
                self._raise_failed(await connection.wait_briefly(fetch_many(pgconn)))
                if not (pgconn.put_copy_data(made) and pgconn.put_copy_end()):
                    raise psycopg.OperationalError("no room for what is to be copied")
                pgconn.flush()
                yield pgconn.flush
            except BaseException:
                pgconn.finish()  # in the middle of it nothing else can be said
                raise
            self._raise_failed(await connection.wait(_done(pgconn)))

    def _raise_failed(self, results: Iterable[PGresult]) -> None:
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                problem = psycopg.errors.error_from_result(result)
                if problem.sqlstate in _EXPECTED:
                    raise _EXPECTED[problem.sqlstate] from problem
                raise self._connection.blame(problem)

    async def _run(self) -> list[tuple[list[TupleRow], tuple[str, ...]]]:
        if not self._asked:
            return []
        asked, self._asked = self._asked, []
        known = self._connection.prepared
        new = list(dict.fromkeys(name for name, _ in asked if name not in known))
        async with self._connection.lock:
            results = await self._connection.wait(_exchange(self._connection.pgconn, new, asked))
        known.update(name for name, result in zip(new, results, strict=False) if _is_well(result))
        self._raise_failed(results)
        return [self._read(result) for result in results[len(new) :]]

    def _read(self, result: PGresult) -> tuple[list[TupleRow], tuple[str, ...]]:
        if not result.ntuples:
            return [], ()
        reader = Transformer(self._connection)
        reader.set_pgresult(result)
        rows = reader.load_rows(0, result.ntuples, tuple)
        return rows, tuple((result.fname(at) or b"").decode() for at in range(result.nfields))


def _exchange(
    pgconn: PGconn, new: Sequence[str], asked: Sequence[tuple[str, list[bytes | None]]]
) -> PQGen[list[PGresult]]:
    """One result for each statement that is new here, then one for each that was asked."""
    pgconn.enter_pipeline_mode()
    try:
        for name in new:
            pgconn.send_prepare(name.encode(), _prepared(name).sql)
        for name, values in asked:
            pgconn.send_query_prepared(name.encode(), values)
        pgconn.pipeline_sync()
        yield from send(pgconn)
        results = []
        for _ in range(len(new) + len(asked)):
            results += yield from fetch_many(pgconn)
        yield from fetch_many(pgconn)
    finally:
        if pgconn.status == ConnStatus.OK:
            pgconn.exit_pipeline_mode()
    return results


def _done(pgconn: PGconn) -> PQGen[list[PGresult]]:
    yield from send(pgconn)
    results: list[PGresult] = yield from fetch_many(pgconn)
    return results


def _is_well(result: PGresult) -> bool:
    return result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


@cache
def _row_class(name: str, columns: tuple[str, ...]) -> Any:
    return namedtuple(name, columns)


@cache
def _prepared(name: str) -> _Prepared:
    names = tuple(dict.fromkeys(_PARAMETER.findall(_SQL[name])))
    numbers = {one: f"${number}" for number, one in enumerate(names, start=1)}
    sql = _PARAMETER.sub(lambda found: numbers[found[1]], _SQL[name])
    return _Prepared(sql.encode(), names)


def _text(value: object) -> bytes | None:
    """A value as PostgreSQL reads it."""
    if value is None:
        return None
    return (array(value) if isinstance(value, list) else str(value)).encode()
