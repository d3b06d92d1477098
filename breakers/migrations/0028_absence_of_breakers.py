from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0028_absence_of_breakers.sql"


class Migration(migrations.Migration):
    dependencies = [("breakers", "0027_left_by_its_instance")]

    operations = [
        migrations.RunSQL(
            SQL.read_text(),
            reverse_sql="""
                DROP TRIGGER breaker_came_back ON breaker_instance;
                DROP FUNCTION note_absence_of_breaker();
                DELETE FROM absence WHERE breaker_id IS NOT NULL;
                ALTER TABLE absence DROP COLUMN breaker_id;
            """,
        ),
    ]
