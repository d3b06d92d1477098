from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("breakers", "0021_expect"),
    ]

    operations = [
        migrations.AddField(
            model_name="instance",
            name="connection",
            field=models.BigIntegerField(null=True),
        ),
    ]
