"""Overrides that have run out by the database's clock. Agents end them by themselves; this writes it down."""

from __future__ import annotations

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from breakers.access import Actor
from breakers.audit import record_on_breaker
from breakers.clock import database_now
from breakers.desired.glass import tell_of_glass
from breakers.desired.override import told
from breakers.desired.revise import hold, revise
from breakers.errors import NotFound
from breakers.sql import statements

_SQL = statements("desired")
SERVER = Actor(kind="server", id=0, name="Panelboard", can=frozenset())


def expire_due() -> int:
    """Ends what has run out, each in a transaction of its own; how many it ended."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["due"])
        due = [id for (id,) in cursor.fetchall()]
    ended = 0
    for breaker_id in due:
        try:
            ended += _expire(breaker_id)
        except NotFound:
            continue  # removed meanwhile
        except OperationalError as problem:
            if not isinstance(problem.__cause__, LockNotAvailable):
                raise
            # Somebody holds it: it is ended at a later look, and holds up no other.
    return ended


def _expire(breaker_id: int) -> bool:
    with transaction.atomic():
        held = hold(breaker_id)
        standing = held.standing
        now = database_now()
        # Replaced or extended while we waited for the lock: then there is nothing to end.
        if standing is None or standing.expires_at is None or standing.expires_at > now:
            return False
        before = told(standing)
        standing.ended_at, standing.end = now, "expired"
        standing.save(update_fields=["ended_at", "end"])
        tell_of_glass([(standing, None)])
        revise(held)
        record_on_breaker(
            SERVER, "expire", held.breaker, reason=standing.reason, before=before, after=None
        )
    return True
