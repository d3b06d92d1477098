"""Who ended an override, and why: a release and a replacement say so in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from breakers.authors import author_words
from breakers.models import AuditEntry, Override


@dataclass(frozen=True, slots=True)
class Ending:
    """The act that ended an override before its time."""

    by: str
    reason: str


def endings(overrides: Sequence[Override]) -> dict[int, Ending]:
    """By the id of the override; none for one that stands, and none for one that ran out by itself."""
    ended = {
        (str(one.breaker_id), one.revision): one.pk
        for one in overrides
        if one.end in ("released", "replaced")
    }
    if not ended:
        return {}
    acts = AuditEntry.objects.filter(
        action__in=["release", "override", "start_override"],
        subject_kind="breaker",
        subject_id__in={breaker for breaker, _ in ended},
        before__revision__in=sorted({revision for _, revision in ended}),
    )
    found = {}
    for act in acts:
        override = ended.get((act.subject_id, (act.before or {})["revision"]))
        if override is not None:
            found[override] = Ending(author_words(act.actor_kind, act.actor_name), act.reason)
    return found
