from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("breakers", "0026_order_by_id")]

    operations = [
        migrations.AddField(
            model_name="breakerinstance",
            name="presented_by",
            field=models.CharField(max_length=200, null=True),
        ),
        migrations.AddField(
            model_name="breakerinstance",
            name="leaves_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="breakerinstance",
            name="left_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="breakerinstance",
            index=models.Index(
                fields=["instance"],
                condition=models.Q(leaves_at__isnull=False) | models.Q(left_at__isnull=False),
                name="breaker_instance_leaving",
            ),
        ),
    ]
