from pathlib import Path

from django.db import migrations, models
from django.db.models.functions import Now

SQL = Path(__file__).parent / "sql" / "0012_presence.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0011_event_by_pair")]

    operations = [
        migrations.AddField(
            model_name="breakerinstance",
            name="created_at",
            field=models.DateTimeField(db_default=Now()),
        ),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
