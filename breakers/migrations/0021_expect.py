from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0021_expect.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0020_said_as")]

    operations = [
        migrations.RunSQL(SQL.read_text(), reverse_sql="DROP FUNCTION expect(boolean, text)"),
    ]
