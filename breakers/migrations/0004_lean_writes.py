from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0004_lean_writes.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0003_not_closed_since")]

    operations = [
        migrations.RemoveIndex(model_name="outboxrow", name="outbox_by_breaker"),
        migrations.RemoveField(model_name="outboxrow", name="event_id"),
        migrations.RemoveField(model_name="outboxrow", name="cause"),
        migrations.RemoveField(model_name="outboxrow", name="detail"),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
