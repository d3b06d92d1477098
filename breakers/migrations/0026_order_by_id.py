from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0026_order_by_id.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0025_touched_as_it_is")]

    # Of changes that only their ids tell apart either order will do for the version before.
    operations = [migrations.RunSQL(SQL.read_text(), reverse_sql="")]
