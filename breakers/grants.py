"""What the program's role may do: everything with rows, nothing with tables, and of the audit log only adding."""

from __future__ import annotations

from django.db import connection
from psycopg import sql

_EVERYTHING = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "GRANT EXECUTE ON FUNCTION ensure_partition(text, timestamptz) TO {role}",
    "GRANT EXECUTE ON FUNCTION drop_oldest_partition(text, timestamptz) TO {role}",
    "GRANT EXECUTE ON FUNCTION ensure_metric_partition(text, timestamptz) TO {role}",
    "GRANT EXECUTE ON FUNCTION drop_metric_partitions(text, timestamptz) TO {role}",
    "REVOKE UPDATE, DELETE, TRUNCATE ON audit_entry FROM {role}",
    "REVOKE UPDATE, TRUNCATE ON event FROM {role}",
    "REVOKE UPDATE, TRUNCATE ON snapshot FROM {role}",
)


_PARTITIONS = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent IN ('event'::regclass, 'snapshot'::regclass)
"""


def grant_program_role(role: str) -> None:
    """Gives `role` its rights; called by the owner after migrating, and harmless when repeated."""
    with connection.cursor() as cursor:
        for statement in _EVERYTHING:
            cursor.execute(sql.SQL(statement).format(role=sql.Identifier(role)))
        # A partition is a table of its own: what is granted on all tables is granted on it too. History
        # is written and read through its parent alone.
        cursor.execute(_PARTITIONS)
        for (name,) in cursor.fetchall():
            revoke = sql.SQL("REVOKE ALL ON {partition} FROM {role}")
            cursor.execute(revoke.format(partition=sql.Identifier(name), role=sql.Identifier(role)))
