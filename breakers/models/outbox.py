"""What was committed and is still to be judged by alerts and policies."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class OutboxRow(models.Model):
    """A breaker of which something is to be judged, with the steps that its instances made in one commit: written
    with their events, and deleted when judged. Without steps, something else is: what is wished or applied, a
    snapshot, a late event that moved no state.

    Writers hold the breaker's row lock when they insert, so ids grow in commit order per breaker. The
    database's primary key is (breaker, id), by which rows are read and deleted.

    `override_id` and `before_override_id` are of the breaker: which override stands that got past a guard, and
    which one did before (null: none).
    """

    breaker_id = models.BigIntegerField()
    committed_at = models.DateTimeField(db_default=Now())
    steps = models.TextField(db_default="[]")
    """JSON of `breakers.outbox.OutboxStep`, in the order in which they happened."""
    before_override_id = models.BigIntegerField(null=True)
    override_id = models.BigIntegerField(null=True)

    class Meta:
        db_table = "outbox"

    def __str__(self) -> str:
        return f"{self.breaker_id}: {self.steps}"
