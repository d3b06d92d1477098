from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("breakers", "0020_said_as"),
    ]

    operations = [
        migrations.AddField(
            model_name="instance",
            name="connection",
            field=models.BigIntegerField(null=True),
        ),
    ]
