"""The asynchronous way to PostgreSQL, for the few parts that serve many at once: one pool a process."""

from __future__ import annotations

from django.conf import settings
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]

_OPTIONS = (
    "-c statement_timeout=15000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=30000"
)


def make_pool(*, size: int = 4) -> Pool:
    """A closed pool; open it in the loop that will use it. Getting a connection waits 5 s at most."""
    return AsyncConnectionPool(
        settings.DATABASE_URL,
        kwargs={"autocommit": True, "connect_timeout": 5, "options": _OPTIONS},
        min_size=1,
        max_size=size,
        open=False,
        timeout=5,
        max_waiting=200,
        # A connection that died with the server is noticed before it is handed out.
        check=AsyncConnectionPool.check_connection,
        reconnect_timeout=30,
        name="panelboard",
    )
