"""What is remembered between the exports of one source of OTLP."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class OtlpMemory(models.Model):
    """A Polly pipeline in one instance as of its last export; see `breakers.ingest.otlp.memory`."""

    key = models.BinaryField(primary_key=True)
    memory = models.JSONField()
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "otlp_memory"

    def __str__(self) -> str:
        return bytes(self.key).hex()
