from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0002_history.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0001_initial")]

    operations = [migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop)]
