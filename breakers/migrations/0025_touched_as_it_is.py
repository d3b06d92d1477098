"""A commit writes thousands of ids of breakers as one value; to compress it takes PostgreSQL five times as long as to
write it, and it is forgotten after five minutes."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("breakers", "0024_packed_outbox")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE touched ALTER COLUMN breakers SET STORAGE EXTERNAL",
            reverse_sql="ALTER TABLE touched ALTER COLUMN breakers SET STORAGE EXTENDED",
        )
    ]
