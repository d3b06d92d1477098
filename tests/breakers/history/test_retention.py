from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from breakers.agents.retire import prune_retired
from breakers.history.read import events_of
from breakers.history.rebuild import rebuild
from breakers.history.upkeep import drop_old_history, forget_absences, history_is_kept
from breakers.live import past
from breakers.live.match import Match
from breakers.models import Breaker, BreakerInstance, Event, Instance, OutboxRow
from breakers.reports.read import timelines_of
from breakers.reports.span import Span
from breakers.tasks import maintain
from tests.support import servers
from tests.support.make import make_actor, make_breaker, make_event, make_instance

pytestmark = pytest.mark.django_db(transaction=True)
WEEK = timedelta(weeks=1)
DAY = timedelta(days=1)


def monday(weeks_ago: int) -> datetime:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=today.weekday()) - weeks_ago * WEEK


def partitions(parent: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1",
            [parent],
        )
        return [name for (name,) in cursor.fetchall()]


def partition_of(parent: str, at: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_partition(%s, %s)", [parent, at])
    return f"{parent}_{at:%Y%m%d}"


@pytest.fixture(autouse=True)
def nothing_old() -> None:
    """Tests share the database, and partitions outlive them."""
    for _ in drop_old_history(timezone.now()):
        pass


@pytest.fixture
def elsewhere() -> Iterator[psycopg.Connection]:
    """Another process in the database."""
    with psycopg.connect(servers.superuser_url()) as other:
        yield other


def old_breaker(state: str = "closed", *, weeks_ago: int = 30) -> Breaker:
    """Its state is of a time that history does not reach back to."""
    breaker = make_breaker(instances=["i"])
    make_event(
        breaker, "open" if state == "closed" else "closed", instance="i", at=monday(weeks_ago)
    )
    make_event(breaker, state, instance="i", at=monday(weeks_ago) + DAY)
    for _ in rebuild(write=True):
        pass
    return breaker


def is_as_history_says() -> bool:
    return not list(rebuild(write=False))


def test_what_a_breaker_was_at_the_edge_is_known_to_the_first_change_after_it() -> None:
    breaker = old_breaker("closed")
    for _ in drop_old_history(timezone.now()):
        pass
    make_event(breaker, "open", instance="i", at=timezone.now() - timedelta(hours=1))

    [event], _ = events_of(breaker, limit=10)

    assert (event["was"], event["to"]) == ("closed", "open")


def test_what_lies_wholly_before_the_edge_is_dropped_and_nothing_else() -> None:
    now = monday(0) + 3 * DAY
    week = monday(13)  # 94 days before now; it ends 87 days before
    gone = [partition_of("event", week - WEEK), partition_of("snapshot", monday(0) - 12 * DAY)]
    kept = [partition_of("event", week), partition_of("snapshot", monday(0) - 11 * DAY)]

    dropped = list(drop_old_history(now))

    assert dropped == gone
    assert set(kept) <= {*partitions("event"), *partitions("snapshot")}
    assert list(drop_old_history(now)) == []


def test_a_breaker_keeps_its_state_when_the_event_that_made_it_is_dropped() -> None:
    breaker = old_breaker("open")
    before = BreakerInstance.objects.values().get()

    dropped = list(drop_old_history(timezone.now()))

    assert f"event_{monday(30):%Y%m%d}" in dropped
    assert not Event.objects.exists()
    assert is_as_history_says()
    BreakerInstance.objects.update(state="closed", since=None, event_id=None)
    assert list(rebuild(write=True))
    assert BreakerInstance.objects.values().get() == before
    assert before["since"] == before["not_closed_since"] == monday(30) + DAY
    [line] = timelines_of([breaker.pk], Span(timezone.now() - DAY, timezone.now()))[breaker.pk]
    assert [(spell.state, spell.begun) for spell in line.spells] == [("open", monday(30) + DAY)]


def test_a_boot_keeps_its_rank_when_its_first_events_are_dropped() -> None:
    breaker = make_breaker(instances=["i"])
    for number, (boot, at) in enumerate(
        [("old", monday(30)), ("new", monday(30) + DAY), ("old", monday(1))]
    ):
        event = make_event(breaker, "open" if boot == "old" else "closed", instance="i", at=at)
        Event.objects.filter(event_id=event.event_id).delete()
        event.boot, event.seq = boot, number
        event.save(force_insert=True)
    for _ in rebuild(write=True):
        pass

    for _ in drop_old_history(timezone.now()):
        pass

    assert is_as_history_says()
    held = BreakerInstance.objects.get()
    assert (held.state, held.boot) == ("closed", "new")


def test_events_that_may_still_come_are_never_dropped() -> None:
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="may still come"):
        cursor.execute("SELECT drop_oldest_partition('event', now())")


@pytest.mark.parametrize("table", ["audit_entry", "breaker", "metric_minute", "nothing"])
def test_only_history_is_dropped(table: str) -> None:
    with (
        connection.cursor() as cursor,
        pytest.raises(DatabaseError, match="no partitioned history"),
    ):
        cursor.execute("SELECT drop_oldest_partition(%s, now() - interval '1 year')", [table])


def test_a_partition_in_use_stays_until_the_next_time(elsewhere: psycopg.Connection) -> None:
    old_breaker()
    elsewhere.execute(f"SELECT FROM event_{monday(30):%Y%m%d}")  # type: ignore[call-overload]

    with pytest.raises(OperationalError, match="lock timeout"):
        list(drop_old_history(timezone.now()))
    with pytest.raises(CommandError, match="in use"):
        call_command("maintain_history", stdout=StringIO())
    maintain()
    assert Event.objects.count() == 2
    elsewhere.rollback()

    assert list(drop_old_history(timezone.now()))
    assert is_as_history_says()


def test_nothing_is_dropped_while_history_is_brought(elsewhere: psycopg.Connection) -> None:
    old_breaker()

    with history_is_kept():
        elsewhere.execute(
            "SELECT drop_oldest_partition('event', %s)", [timezone.now() - timedelta(days=90)]
        )
        elsewhere.commit()
        assert Event.objects.count() == 2

    assert list(drop_old_history(timezone.now()))


def test_nothing_is_dropped_while_the_board_of_a_past_instant_is_read(
    monkeypatch: pytest.MonkeyPatch, elsewhere: psycopg.Connection
) -> None:
    old_breaker("open")
    check_edge, now = past._check_edge, timezone.now()

    def drop_meanwhile(*args: Any) -> None:
        with pytest.raises(LockNotAvailable):
            elsewhere.execute("SELECT drop_oldest_partition('event', %s)", [now - 90 * DAY])
        elsewhere.rollback()
        check_edge(*args)

    monkeypatch.setattr(past, "_check_edge", drop_meanwhile)
    [then] = past.board_at(make_actor(), Match(), at=monday(30) + 2 * DAY, now=now, limit=10)

    assert then.state == "open"


def test_who_was_away_is_forgotten_once_history_no_longer_reaches_back_to_it() -> None:
    old_breaker()
    for weeks_ago in (30, 1):
        Instance.objects.update(retired_at=monday(weeks_ago))
        Instance.objects.update(retired_at=None)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE absence SET until = since + interval '1 day'")

    for _ in drop_old_history(timezone.now()):
        pass

    assert forget_absences() == 1
    assert forget_absences() == 0


def test_the_command_says_what_it_did() -> None:
    old_breaker()
    told = StringIO()

    call_command("maintain_history", stdout=told)
    call_command("maintain_history", stdout=told)

    assert f"Dropped event_{monday(30):%Y%m%d}." in told.getvalue()
    assert told.getvalue().endswith("Nothing is old enough to be dropped.\n")


def test_a_retired_instance_is_pruned_once_history_no_longer_reaches_back_to_it() -> None:
    breaker = old_breaker(weeks_ago=30)
    make_instance(breaker, "other")
    Instance.objects.filter(name="i").update(retired_at=monday(15) + DAY, created_at=monday(30))
    OutboxRow.objects.all().delete()

    kept = timedelta(days=settings.PANELBOARD_RETENTION_DAYS)
    for _ in drop_old_history(monday(20) + kept):
        pass
    assert not Event.objects.exists()
    assert prune_retired() == 0

    partition_of("event", monday(15))
    for _ in drop_old_history(monday(14) + kept):
        pass
    assert prune_retired() == 1

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM checkpoint")
        assert cursor.fetchone() == (0,)
