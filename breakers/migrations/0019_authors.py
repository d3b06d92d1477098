from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # indexes are made without keeping writers out
    dependencies = [("breakers", "0018_guards")]

    operations = [
        AddIndexConcurrently(
            "command",
            models.Index(fields=["by_kind", "by_id", "-created_at"], name="command_author"),
        ),
        AddIndexConcurrently(
            "plannedoverride",
            models.Index(
                fields=["by_kind", "by_id", "-created_at"], name="planned_override_author"
            ),
        ),
        AddIndexConcurrently(
            "override",
            models.Index(fields=["by_kind", "by_id", "-created_at"], name="override_author"),
        ),
    ]
