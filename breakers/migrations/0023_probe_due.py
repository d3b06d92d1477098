from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("breakers", "0022_connection")]

    operations = [
        migrations.AddField(
            model_name="breakerinstance",
            name="probe_due_at",
            field=models.DateTimeField(null=True),
        ),
    ]
