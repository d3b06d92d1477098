from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql" / "0024_packed_outbox.sql"
NOW_IN_STEPS = (
    "instance_id",
    "occurred_at",
    "to_state",
    "late",
    "before_state",
    "before_natural",
    "state",
    "natural_state",
    "since",
)


class Migration(migrations.Migration):
    dependencies = [("breakers", "0023_probe_due")]

    operations = [
        migrations.AddField("outboxrow", "steps", models.TextField(db_default="[]")),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
        *(migrations.RemoveField("outboxrow", name) for name in NOW_IN_STEPS),
    ]
