"""The table of the outbox."""

from typing import Any, ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar[list[Any]] = []
    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                ("position", models.BigAutoField(primary_key=True, serialize=False)),
                ("id", models.CharField(max_length=64, unique=True)),
                ("application", models.CharField(max_length=256)),
                ("event_type", models.CharField(max_length=256)),
                ("payload", models.BinaryField()),
                ("channels", models.JSONField(default=list)),
                ("tags", models.JSONField(default=list)),
                ("traceparent", models.CharField(blank=True, max_length=64, null=True)),
                ("claimed_until", models.FloatField(db_index=True, default=0.0)),
                ("refused", models.BooleanField(default=False)),
                ("error", models.TextField(blank=True, null=True)),
            ],
        )
    ]
