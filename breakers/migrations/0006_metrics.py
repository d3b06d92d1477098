from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0006_metrics.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0005_otlp_memory")]

    operations = [migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop)]
