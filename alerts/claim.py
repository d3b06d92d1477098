"""Taking breakers whose outbox rows or due checks wait, and reading all that is needed to judge them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection
from django.db.models import Prefetch, Q

from alerts.judging import Replay, Step
from alerts.models import Standing
from alerts.verdicts import BreakerView, InstanceView
from breakers.models import Breaker, BreakerInstance, OutboxRow
from breakers.states import State

BATCH = 100
"""Breakers in one transaction: ingest waits for these locks, about 1 ms a breaker."""
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Claim:
    """Locked breakers with what happened to them; `rows` are the outbox rows to delete."""

    replays: tuple[Replay, ...]
    rows: tuple[int, ...]

    @property
    def breakers(self) -> list[int]:
        return [one.now.id for one in self.replays]


def waiting_breakers(now: datetime) -> Iterator[list[int]]:
    """Breakers with work, the longest waiting first, in pages; read without a lock."""
    seen: set[int] = set()
    due = (
        Standing.objects.filter(check_at__lte=now)
        .order_by("check_at", "id")
        .values_list("breaker_id", flat=True)
    )
    page = list(dict.fromkeys(due[:_PAGE]))
    seen.update(page)
    if page:
        yield page
    after = 0
    while True:
        rows = list(
            OutboxRow.objects.filter(id__gt=after)
            .order_by("id")
            .values_list("id", "breaker_id")[:_PAGE]
        )
        if not rows:
            return
        after = rows[-1][0]
        page = [one for one in dict.fromkeys(breaker for _, breaker in rows) if one not in seen]
        seen.update(page)
        if page:
            yield page


def claim(breaker_ids: Sequence[int], *, now: datetime) -> Claim | None:
    """Locks those that nobody else holds and reads them; inside a transaction. None: nothing to do.

    Writers of the outbox hold the breaker's lock, so what is read after it is all there is, in order.
    """
    ids = list(
        Breaker.objects.filter(pk__in=breaker_ids)
        .order_by("pk")
        .select_for_update(skip_locked=True, no_key=True)
        .values_list("pk", flat=True)
    )
    if not ids:
        return None
    rows = list(OutboxRow.objects.filter(breaker_id__in=ids).order_by("id"))
    by_breaker: dict[int, list[OutboxRow]] = defaultdict(list)
    for row in rows:
        by_breaker[row.breaker_id].append(row)
    breakers = Breaker.objects.filter(pk__in=ids).select_related("service__environment")
    # The retired say nothing any more, except where their last word is among the rows.
    heard = Q(instance__retired_at=None) | Q(instance__in={row.instance_id for row in rows})
    held = BreakerInstance.objects.filter(heard).select_related("instance").order_by("instance_id")
    replays = tuple(
        _replay(breaker, by_breaker[breaker.pk], now)
        for breaker in breakers.prefetch_related(Prefetch("breaker_instances", held)).order_by("pk")
    )
    return Claim(replays, tuple(row.pk for row in rows))


def drop_orphans() -> None:
    """Rows of breakers that are gone are nobody's to judge."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM outbox o WHERE NOT EXISTS (SELECT FROM breaker b WHERE b.id = o.breaker_id)"
        )


def _replay(breaker: Breaker, rows: Sequence[OutboxRow], now: datetime) -> Replay:
    present = {one.instance_id: _instance(breaker, one) for one in breaker.breaker_instances.all()}
    seen = _view(breaker, present)
    before, steps = dict(present), []
    at = datetime.min.replace(tzinfo=now.tzinfo)
    for row in rows:
        instance = present.get(row.instance_id)
        if row.late or instance is None:
            continue
        if before[row.instance_id] is instance:
            before[row.instance_id] = _as(instance, row.before_state, row.before_natural, None)
        # A transaction's time is that of its beginning: a later one may carry an earlier time.
        at = min(max(at, row.committed_at), now)
        after = _as(instance, row.state, row.natural_state, row.since)
        steps.append(Step(row.pk, at, after))
    return Replay(_view(breaker, before), tuple(steps), seen)


def _view(breaker: Breaker, instances: dict[int, InstanceView]) -> BreakerView:
    return BreakerView(
        id=breaker.pk,
        environment=breaker.service.environment.name,
        service=breaker.service.name,
        breaker=breaker.name,
        target=breaker.target,
        instances=tuple(instances.values()),
    )


def _instance(breaker: Breaker, held: BreakerInstance) -> InstanceView:
    instance, service = held.instance, breaker.service
    state = State(held.state)
    return InstanceView(
        id=instance.pk,
        name=instance.name,
        labels={
            **instance.labels,
            **held.labels,
            "service": service.name,
            "environment": service.environment.name,
            "breaker": breaker.name,
            "target": breaker.target or "",
            "instance": instance.name,
        },
        state=state,
        natural=_natural(state, held.natural_state),
        since=held.since,
        live=instance.lost_at is None
        and instance.retired_at is None
        and state is not State.UNKNOWN,
    )


def _as(
    instance: InstanceView, state: str, natural: str | None, since: datetime | None
) -> InstanceView:
    """An instance as it was at a step: whoever said something was live then."""
    was = State(state)
    return replace(
        instance,
        state=was,
        natural=_natural(was, natural),
        since=since,
        live=was is not State.UNKNOWN,
    )


def _natural(state: State, natural: str | None) -> State:
    """`unknown` says that nobody speaks for it, whatever was natural before."""
    return state if natural is None or state is State.UNKNOWN else State(natural)
