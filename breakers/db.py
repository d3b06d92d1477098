"""The asynchronous way to PostgreSQL, for the few parts that serve many at once: one pool a process."""

from __future__ import annotations

import asyncio
import select
import traceback
from functools import cached_property
from typing import Any, Self, TypeVar

import psycopg
from django.conf import settings
from psycopg import AsyncConnection, AsyncCursor, waiting
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg.waiting import Ready, Wait
from psycopg_pool import AsyncConnectionPool

Answer = TypeVar("Answer")

ANSWERS_WITHIN_S = 5.5
"""A little above the server's own bounds below, so that a server which lives says itself what took so long."""
_OPTIONS = (
    "-c statement_timeout=5000 -c lock_timeout=4500 -c idle_in_transaction_session_timeout=30000"
)
_TAKEN_WITHIN_S = 2.0
# All agents of a process that was started again come back within a second or two, and each asks a question or two of a
# millisecond. They are not turned away for that: how long somebody waits is bounded, too.
_WAITING_MAX = 2000
_BRIEFLY_MS = 2


class NoAnswer(psycopg.OperationalError):
    """The server holds the connection and says nothing: whether it did what it was asked is unknown."""


class Unfit(psycopg.OperationalError):
    """The connection cannot do for anybody what it is there for, and was closed; another may."""


_UNFIT = (
    # What was prepared is of before a migration: "cached plan must not change result type".
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
    # What was the primary when it was opened is a standby now.
    psycopg.errors.ReadOnlySqlTransaction,
)


class Connection(AsyncConnection[TupleRow]):
    """One that gives up on a server that is frozen, which keeps no time-out of its own and still takes in what
    is sent. It is closed then, so that nothing of it goes back into the pool; and so it is where its caller
    goes away in the middle, for to cancel a statement psycopg waits up to 10 s for the server."""

    patience_s = ANSWERS_WITHIN_S

    @classmethod
    async def connect(cls, *arguments: Any, **asked: Any) -> Self:
        try:
            return await super().connect(*arguments, **asked)
        except psycopg.OperationalError as problem:
            # Else its frames keep the half-open socket, in a cycle, until the collector comes by.
            traceback.clear_frames(problem.__traceback__)
            raise

    @cached_property
    def prepared(self) -> set[str]:
        """Names of the statements that were prepared here by hand; see `ingest.statements`."""
        return set()

    async def wait(
        self, gen: PQGen[Answer], interval: float = 0.1, timeout: float | None = None
    ) -> Answer:
        limit = self.patience_s if timeout is None else min(timeout, self.patience_s)
        try:
            return await waiting.wait_async(
                gen, self.pgconn.socket, interval=interval, timeout=limit
            )
        except asyncio.CancelledError:
            self._give_up()
            raise
        except psycopg.OperationalError as problem:
            # What the server itself refuses ends the statement; only silence leaves it going.
            if not self._give_up():
                raise
            raise NoAnswer(f"no answer within {limit:g} s") from problem

    async def wait_briefly(self, gen: PQGen[Answer]) -> Answer:
        """As `wait`, for what the server answers at once: for a moment it looks at the socket itself, for a turn of
        the loop may take in requests for many times as long."""
        socket = select.poll()
        socket.register(self.pgconn.socket, select.POLLIN)
        try:
            wanted = next(gen)
            while wanted == Wait.R and socket.poll(_BRIEFLY_MS):
                wanted = gen.send(Ready.R)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        return await self.wait(_resumed(gen, wanted))

    def blame(self, problem: psycopg.Error) -> psycopg.Error:
        """What to raise for what a statement failed with. A connection for which that is no accident is closed:
        the same would fail on it for as long as it lives."""
        if not isinstance(problem, _UNFIT):
            return problem
        self.pgconn.finish()
        return Unfit(str(problem))

    def _give_up(self) -> bool:
        """Closes the connection if a statement is under way on it."""
        is_under_way = self.pgconn.transaction_status == TransactionStatus.ACTIVE
        if is_under_way:
            self.pgconn.finish()
        return is_under_way


def _resumed(gen: PQGen[Answer], wanted: Wait) -> PQGen[Answer]:
    """The rest of one that waits for something already."""
    while True:
        ready = yield wanted
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


class _Cursor(AsyncCursor[Any]):
    async def execute(self, *arguments: Any, **options: Any) -> Self:
        try:
            return await super().execute(*arguments, **options)
        except _UNFIT as problem:
            connection = self.connection
            assert isinstance(connection, Connection)
            raise connection.blame(problem) from problem


Pool = AsyncConnectionPool[Connection]


async def _still_answers(connection: Connection) -> None:
    """A connection that died with its server, or is frozen with it, is noticed before it is handed out."""
    connection.patience_s = _TAKEN_WITHIN_S
    try:
        await connection.execute("")
    finally:
        connection.patience_s = ANSWERS_WITHIN_S


def make_pool(*, size: int = 4, prepares: bool = True) -> Pool:
    """A closed pool; open it in the loop that will use it. Getting a connection waits 5 s at most.

    Where `prepares` is False, psycopg prepares nothing by itself: at each rollback it has the server forget all
    that is prepared on a connection, what others prepared too.
    """
    arguments: dict[str, Any] = {
        "autocommit": True,
        "connect_timeout": 5,
        "options": _OPTIONS,
        "cursor_factory": _Cursor,
    }
    if not prepares:
        arguments["prepare_threshold"] = None
        arguments["options"] += " -c enable_seqscan=off"
    return AsyncConnectionPool(
        settings.DATABASE_URL,
        connection_class=Connection,
        kwargs=arguments,
        min_size=1,
        max_size=size,
        open=False,
        timeout=5,
        max_waiting=_WAITING_MAX,
        check=_still_answers,
        reconnect_timeout=30,
        name="panelboard",
    )
