from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("breakers", "0026_order_by_id")]

    operations = [
        migrations.AddField(
            model_name="breakerinstance",
            name="presented",
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddField(
            model_name="breakerinstance",
            name="left_at",
            field=models.DateTimeField(null=True),
        ),
    ]
