"""A breaker of three instances on a real database, what a policy holds of it, and the clock moved by moving what is due."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import PolicyCase
from breakers.desired.override import OverrideWish, override_breaker
from breakers.models import AuditEntry, Breaker, Override
from breakers.states import Mode
from tests.support.make import happens, make_actor, make_breaker


def a_breaker(*open_: str, service: str = "orders", **fields: object) -> Breaker:
    """One with three instances, of which some open."""
    breaker = make_breaker(service=service, instances=("a", "b", "c"), **fields)  # type: ignore[arg-type]
    opens(breaker, *open_)
    return breaker


def opens(breaker: Breaker, *instances: str) -> None:
    for name in instances:
        happens(breaker, "open", instance=name)
    evaluate_pending()


def held(breaker: Breaker) -> Override | None:
    return Override.objects.filter(breaker=breaker, ended_at=None).first()


def comes_due(breaker: Breaker) -> None:
    """The hold's, or the probing's, time is over."""
    PolicyCase.objects.filter(breaker=breaker).update(until=timezone.now(), check_at=timezone.now())
    evaluate_pending()


def applies(breaker: Breaker, *instances: str) -> None:
    """What the agents of these instances say once a hold reached them: forced, and open behind it."""
    for name in instances:
        happens(breaker, "forced_open", natural_state="open", instance=name)
    evaluate_pending()


def by_hand(breaker: Breaker, mode: Mode = Mode.FORCED_CLOSED, *, for_s: int = 600) -> Override:
    wish = OverrideWish(
        mode=mode, reason="by hand", expires_at=timezone.now() + timedelta(seconds=for_s)
    )
    return override_breaker(breaker, wish=wish, by=make_actor(), now=timezone.now())


def acts_of(breaker: Breaker) -> list[tuple[str, str, str]]:
    rows = AuditEntry.objects.filter(subject_kind="breaker", subject_id=str(breaker.pk))
    return list(rows.order_by("id").values_list("actor_kind", "action", "reason"))
