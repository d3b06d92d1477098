"""What matchers can name, and how much they match now: a label that nobody has would never fire, in silence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from django.db.models import QuerySet

from alerts.labels import BUILT_IN, labels_of
from alerts.matchers import Matcher, all_hold
from breakers.access import Actor, breakers_for, instances_for
from breakers.errors import FieldError, Invalid
from breakers.models import BreakerInstance


class Matching(NamedTuple):
    """Breakers that have an instance which matches, of all that there are."""

    breakers: int
    of: int


def check_labels(actor: Actor, matchers: Sequence[Matcher], *, known: Collection[str] = ()) -> None:
    """Raises Invalid for a label that is neither built in, nor had by anything that the actor sees, nor `known`."""
    strange = {one.label for one in matchers} - {*BUILT_IN, *known}
    strange -= {label for label in strange if _is_had(actor, label)}
    if strange:
        raise Invalid(
            [
                FieldError(
                    ("matchers", place),
                    f"no breaker has a label “{one.label}”; there are {', '.join(BUILT_IN)}, "
                    "and the labels that agents send",
                )
                for place, one in enumerate(matchers)
                if one.label in strange
            ]
        )


def matching(actor: Actor, matchers: Sequence[Matcher]) -> Matching:
    """As rules choose: within the actor's limits, by the instances that are not retired."""
    rows = _held(actor).values_list(
        "breaker_id",
        "breaker__service__environment__name",
        "breaker__service__name",
        "breaker__name",
        "breaker__target",
        "instance__name",
        "library",
        "instance__labels",
        "labels",
    )
    found: set[int] = set()
    for id, environment, service, breaker, target, instance, library, process, own in rows:
        if id not in found and all_hold(
            matchers,
            labels_of(
                {**process, **own},
                environment=environment,
                service=service,
                breaker=breaker,
                target=target,
                instance=instance,
                library=library,
            ),
        ):
            found.add(id)
    return Matching(len(found), breakers_for(actor).count())


def _held(actor: Actor) -> QuerySet[BreakerInstance]:
    return BreakerInstance.objects.there().filter(breaker__in=breakers_for(actor))


def _is_had(actor: Actor, label: str) -> bool:
    return (
        instances_for(actor).filter(retired_at=None, labels__has_key=label).exists()
        or _held(actor).filter(labels__has_key=label).exists()
    )
