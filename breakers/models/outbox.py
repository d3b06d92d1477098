"""What was committed and is still to be judged by alerts and policies."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class OutboxRow(models.Model):
    """One state change of a breaker instance, or (with the instance 0) a breaker of which something else is to be
    judged: what is wished or applied, a snapshot. Written with its event, and deleted when judged.

    Writers hold the breaker's row lock when they insert, so ids grow in commit order per breaker. The
    database's primary key is (breaker, id), by which rows are read and deleted.
    `before_*` is what the instance was; a `late` event moved no state (then before and after agree).

    `override_id` and `before_override_id` are of the breaker: which override stands that got past a guard, and
    which one did before (null: none).
    """

    breaker_id = models.BigIntegerField()
    instance_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    committed_at = models.DateTimeField(db_default=Now())
    to_state = models.CharField(max_length=13)
    """What the event says, late or not."""
    late = models.BooleanField()
    before_state = models.CharField(max_length=13)
    before_natural = models.CharField(max_length=13, null=True)
    state = models.CharField(max_length=13)
    natural_state = models.CharField(max_length=13, null=True)
    since = models.DateTimeField(null=True)
    before_override_id = models.BigIntegerField(null=True)
    override_id = models.BigIntegerField(null=True)

    class Meta:
        db_table = "outbox"

    def __str__(self) -> str:
        return f"{self.breaker_id}: {self.before_state} → {self.state}"
