from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0010_checkpoints.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0009_clock")]

    operations = [migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop)]
