from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql" / "0016_judging.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0015_audit_by_request")]

    operations = [
        migrations.AddField(
            model_name="instance",
            name="session_since",
            field=models.DateTimeField(null=True),
        ),
        migrations.RunSQL(SQL.read_text(), reverse_sql="DROP TABLE judging"),
    ]
