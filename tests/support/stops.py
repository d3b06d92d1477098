"""Stopping another process at a chosen statement: a trigger there waits for a lock that the test holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tests.support.eventually import eventually

_KEY = 4_711
# Locks of all databases are listed, and other workers of the run stop theirs by the same key.
_WAITING = (
    " FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Stop:
    """Held as long as the block lasts; `reached` waits until someone stands there."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def reached(self, *, by: int = 1) -> None:
        eventually(lambda: self._waiting() >= by, within=30)

    def _waiting(self) -> int:
        row = self._connection.execute("SELECT count(*)" + _WAITING, [_KEY]).fetchone()
        assert row is not None
        return int(row[0])

    def gone(self) -> None:
        """Waits until nobody stands there: PostgreSQL notices a killed client late by itself."""
        self._connection.execute("SELECT pg_terminate_backend(pid)" + _WAITING, [_KEY])
        eventually(lambda: self._waiting() == 0, within=30)


@contextmanager
def stop_at(superuser_url: str, table: str, when: str) -> Iterator[Stop]:
    """Whoever does `when` (such as `BEFORE INSERT`) on the table waits there until the block ends.

    `AT COMMIT` is a deferred trigger on insertion: everything is written, and nothing is committed.
    """
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_KEY])
        connection.execute(
            "CREATE OR REPLACE FUNCTION test_stop() RETURNS trigger LANGUAGE plpgsql"
            # Control calls give up on a lock after seconds; this wait ends with the block alone.
            " SET lock_timeout = 0 AS $$ BEGIN"
            f" PERFORM pg_advisory_lock_shared({_KEY}); PERFORM pg_advisory_unlock_shared({_KEY});"
            " RETURN coalesce(NEW, OLD); END $$"
        )
        text = (
            "CREATE CONSTRAINT TRIGGER test_stop AFTER INSERT ON {} DEFERRABLE INITIALLY DEFERRED"
            if when == "AT COMMIT"
            else f"CREATE TRIGGER test_stop {when} ON {{}}"
        )
        connection.execute(
            sql.SQL(text + " FOR EACH ROW EXECUTE FUNCTION test_stop()").format(  # type: ignore[arg-type]
                sql.Identifier(table)
            )
        )
        try:
            yield Stop(connection)
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", [_KEY])
            connection.execute(
                sql.SQL("DROP TRIGGER test_stop ON {}").format(sql.Identifier(table))
            )
