from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("breakers", "0014_kept_answers")]

    operations = [
        AddIndexConcurrently(
            model_name="auditentry",
            index=models.Index(
                fields=["request_id"],
                condition=models.Q(request_id__isnull=False),
                name="audit_entry_request",
            ),
        ),
    ]
