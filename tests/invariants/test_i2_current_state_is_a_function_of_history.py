"""I2: any interleaving, repetition and splitting of a history leads to the same state and the same set."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from breakers.db import make_pool
from breakers.history.rebuild import rebuild
from breakers.ingest.effects import Effects
from breakers.ingest.jobs import Batch
from breakers.ingest.queue import Writer
from breakers.models import Boot, BreakerInstance, Event, Service
from breakers.states import Change, Held, Origin, State
from breakers.wire import Happened
from tests.support.derive import derive

OUTAGES_SQL = Path("breakers/migrations/sql/0003_not_closed_since.sql")
_services = itertools.count(1)
NOW = datetime.now(UTC).replace(microsecond=0)
STATES = [State.CLOSED, State.OPEN, State.HALF_OPEN]


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, object]]:
    """Events of two breakers in two instances, each with its own id; boots, seqs and times collide freely."""
    size = draw(st.integers(1, 12))
    return [
        {
            "event_id": f"e{number}",
            "breaker": draw(st.sampled_from(["x", "y"])),
            "instance": draw(st.sampled_from(["i1", "i2"])),
            "to": draw(st.sampled_from(STATES)),
            "boot": draw(st.sampled_from([None, "a", "b"])),
            "seq": draw(st.none() | st.integers(0, 3)),
            "occurred_at": NOW - timedelta(seconds=draw(st.integers(0, 6))),
        }
        for number in range(size)
    ]


def happened(service: str, fields: dict[str, object]) -> Happened:
    return Happened(
        environment="i2",
        service=service,
        type="state_change",
        named=True,
        timed=True,
        **fields,  # type: ignore[arg-type]
    )


async def commit(service: str, groups: list[list[list[dict[str, object]]]]) -> None:
    """Each group in one transaction, of several requests each."""

    async def committed(effects: Effects) -> None:
        pass

    async with make_pool(size=1) as pool:
        writer = Writer(pool, committed=committed)
        writer.start()
        for group in groups:
            batches = [
                Batch(events=[happened(service, fields) for fields in request]) for request in group
            ]
            # All that waits when the writer gets its turn is one group.
            await asyncio.gather(*[writer.submit(batch) for batch in batches])
        await writer.stop()


def split(items: list[dict[str, object]], random: Random) -> list[list[list[dict[str, object]]]]:
    groups: list[list[list[dict[str, object]]]] = []
    while items:
        size = random.randint(1, len(items))
        part, items = items[:size], items[size:]
        middle = random.randint(0, len(part))
        groups.append([request for request in (part[:middle], part[middle:]) if request])
    return groups


def expected(history: list[dict[str, object]], breaker: str, instance: str) -> Held | None:
    """By the definition: rank all state changes, with boots ranked by their earliest time."""
    mine = [fields for fields in history if fields["instance"] == instance]
    first: dict[object, datetime] = {}
    for fields in mine:
        at = fields["occurred_at"]
        assert isinstance(at, datetime)
        first[fields["boot"]] = min(first.get(fields["boot"], at), at)
    changes = [
        Change(
            to=fields["to"],  # type: ignore[arg-type]
            natural_state=None,
            cause="unknown",
            reason=None,
            detail=None,
            boot=fields["boot"],  # type: ignore[arg-type]
            boot_at=first[fields["boot"]] if fields["boot"] else None,
            seq=fields["seq"],  # type: ignore[arg-type]
            occurred_at=fields["occurred_at"],  # type: ignore[arg-type]
            origin=Origin.AGENT,
            event_id=str(fields["event_id"]),
        )
        for fields in mine
        if fields["breaker"] == breaker
    ]
    return derive(sorted(changes, key=lambda change: change.rank, reverse=True))


@pytest.mark.django_db(transaction=True)
@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=histories(), random=st.randoms(use_true_random=False))
def test_any_order_repetition_and_splitting_gives_the_same(
    history: list[dict[str, object]], random: Random
) -> None:
    service = f"s{next(_services)}"
    sent = history + random.sample(history, random.randint(0, len(history)))
    random.shuffle(sent)

    asyncio.run(commit(service, split(sent, random)))

    row = Service.objects.get(name=service)
    assert list(rebuild(write=False)) == []
    assert Event.objects.filter(service_id=row.pk).count() == len(history)
    for held in BreakerInstance.objects.filter(breaker__service=row).select_related(
        "instance", "breaker"
    ):
        wanted = expected(history, held.breaker.name, held.instance.name)
        assert wanted is not None
        assert (held.state, held.since, held.not_closed_since, held.event_id) == (
            wanted.state,
            wanted.since,
            wanted.not_closed_since,
            wanted.last.event_id,
        )
        for boot in Boot.objects.filter(instance=held.instance):
            times = [
                f["occurred_at"]
                for f in history
                if f["instance"] == held.instance.name and f["boot"] == boot.boot
            ]
            assert boot.first_at == min(times)  # type: ignore[type-var]


@pytest.mark.django_db(transaction=True)
def test_the_migration_finds_the_outages_that_the_program_would_have_noted() -> None:
    service = f"s{next(_services)}"
    history: list[dict[str, object]] = [
        {
            "event_id": f"e{number}",
            "breaker": breaker,
            "instance": "i1",
            "to": to,
            "boot": boot,
            "seq": number,
            "occurred_at": NOW - timedelta(seconds=60 - number),
        }
        for breaker in ("x", "y")
        for number, (boot, to) in enumerate(
            [
                ("a", State.OPEN),
                ("a", State.CLOSED),
                ("a", State.OPEN),
                ("b", State.HALF_OPEN),
                ("b", State.OPEN if breaker == "x" else State.CLOSED),
            ]
        )
    ]
    asyncio.run(
        commit(
            service,
            [
                [
                    [
                        fields | {"event_id": f"{fields['breaker']}{fields['event_id']}"}
                        for fields in history
                    ]
                ]
            ],
        )
    )
    noted = dict(BreakerInstance.objects.values_list("breaker__name", "not_closed_since"))
    BreakerInstance.objects.update(not_closed_since=None)

    with connection.cursor() as cursor:
        cursor.execute(OUTAGES_SQL.read_text())

    assert noted == {"x": NOW - timedelta(seconds=58), "y": None}
    assert dict(BreakerInstance.objects.values_list("breaker__name", "not_closed_since")) == noted
