from typing import Any

from django.db import migrations

INDEX = "(breaker_id, instance_id, occurred_at DESC) WHERE type = 'state_change'"
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'event'::regclass"


def build(apps: Any, schema_editor: Any) -> None:
    """One partition after the other, so that nothing that is written waits; the index of the whole then takes
    them for its parts."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        for (partition,) in cursor.fetchall():
            name = f"{partition}_by_pair"
            cursor.execute(
                f"DROP INDEX IF EXISTS {name}"
            )  # what an attempt that was broken off left
            cursor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {partition} {INDEX}")
        cursor.execute(f"CREATE INDEX event_by_pair ON event {INDEX}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("breakers", "0010_checkpoints")]

    operations = [migrations.RunPython(build, migrations.RunPython.noop)]
