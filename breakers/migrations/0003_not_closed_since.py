from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql" / "0003_not_closed_since.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0002_history")]

    operations = [
        migrations.AddField(
            model_name="breakerinstance",
            name="not_closed_since",
            field=models.DateTimeField(null=True),
        ),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
