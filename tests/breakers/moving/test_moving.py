"""History out to a file and in from it: the same bytes, the same state, whoever sends what."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import Incident
from breakers.metrics.read import points_of
from breakers.metrics.span import Source, Span
from breakers.models import Breaker, BreakerInstance, Event, Instance, OutboxRow, Snapshot
from tests.support.eventually import aeventually
from tests.support.make import make_breaker, make_rule
from tests.support.web import Web

NOW = timezone.now().replace(microsecond=0)


def exported(path: Path, *arguments: str) -> bytes:
    call_command("export", "--output", str(path), *arguments, stderr=io.StringIO())
    return path.read_bytes()


def imported(path: Path) -> tuple[str, str]:
    """What it says, and what it says is wrong."""
    told, wrong = io.StringIO(), io.StringIO()
    try:
        call_command("import", str(path), stdout=told, stderr=wrong)
    except CommandError as problem:
        wrong.write(f"{problem}\n")
    return told.getvalue(), wrong.getvalue()


def agrees() -> bool:
    try:
        call_command("rebuild_state", "--check", stdout=io.StringIO())
    except SystemExit:
        return False
    return True


def event(seconds: int, to: str, **fields: Any) -> dict[str, Any]:
    return {
        "service": "orders",
        "breaker": "catalog",
        "environment": "prod",
        "to": to,
        "occurred_at": (NOW - timedelta(hours=3) + timedelta(seconds=seconds)).isoformat(),
    } | fields


async def some_history(web: Web) -> None:
    """Two lives of an agent, a goodbye, late events, notes, samples, odd names, and two environments."""
    async with web.agent({"breaker": "catalog", "state": "closed", "target": "catalog"}) as agent:
        await agent.events(
            {
                "breaker": "catalog",
                "to": "open",
                "seq": 3,
                "detail": "“five” in a row\n\t\\ \u2028",
            },
            {"breaker": "catalog", "to": "half_open", "seq": 2},
        )
    async with web.agent(
        {"breaker": "catalog", "state": "closed"}, boot="b2", instance="two"
    ) as two:
        await two.say(type="goodbye")
        await two.socket.wait_closed()
    answer = await web.post_events(
        event(0, "closed", boot="z", seq=1),
        event(60, "open", boot="z", seq=2, labels={"zone": "a", "ärger": "ü"}, id="a named one"),
        event(30, "closed", boot="a", seq=9),
        event(0, "open", service='says "hi" 😀', breaker="'; --", environment="dev"),
        event(0, "closed", type="note", detail="somebody deployed"),
        *(
            event(
                10 * n,
                "closed",
                type="snapshot",
                metrics={
                    "calls": n,
                    "failed": 1,
                    "window": 10,
                    "p50_ms": 0.1 + n,
                    "slow_rate": 5e-324,
                },
            )
            for n in range(1, 20)
        ),
    )
    assert answer.json()["accepted"] == 24


@pytest.fixture
async def moved(
    web: Web, tmp_path: Path, restore_contents: Callable[[], None]
) -> tuple[Path, list[Any], list[Any]]:
    """An export of some history, its states and its minutes; the database is empty again."""
    await some_history(web)

    def move() -> tuple[Path, list[Any], list[Any]]:
        path = tmp_path / "history.ndjson"
        exported(path)
        before = states(), minutes()
        restore_contents()
        return path, *before

    return await sync_to_async(move)()


def states() -> list[Any]:
    columns = (
        "breaker__name",
        "instance__name",
        "state",
        "since",
        "not_closed_since",
        "boot",
        "seq",
    )
    return list(BreakerInstance.objects.order_by(*columns[:2]).values_list(*columns))


def minutes(source: Source = Source.SNAPSHOTS) -> list[Any]:
    since = (NOW - timedelta(hours=3)).replace(second=0)
    span = Span(since=since, until=since + timedelta(minutes=10), step=60, source=source)
    return points_of(Breaker.objects.get(name="catalog"), span)


def in_thread(act: Callable[..., Any]) -> Callable[..., Any]:
    return sync_to_async(act)


async def test_out_in_and_out_again_are_the_same_bytes_and_the_same_state(
    moved: tuple[Path, list[Any], list[Any]], tmp_path: Path
) -> None:
    path, states_before, minutes_before = moved

    def check() -> None:
        assert not Event.objects.exists()

        told, wrong = imported(path)

        assert wrong == "Deriving current state from history\n"
        assert exported(tmp_path / "again.ndjson") == path.read_bytes()
        assert states() == states_before
        assert minutes(Source.MINUTES) == minutes_before
        assert agrees()
        assert not OutboxRow.objects.exists()
        assert Instance.objects.get(name="two").retired_at is not None
        assert Breaker.objects.get(name="catalog").target == "catalog"
        assert "0 there already" in told

    await sync_to_async(check)()


async def test_the_same_file_twice_changes_nothing(
    moved: tuple[Path, list[Any], list[Any]],
) -> None:
    path, states_before, _ = moved

    def check() -> None:
        imported(path)
        count = Event.objects.count() + Snapshot.objects.count()

        told, _ = imported(path)

        assert told == f"0 new, {count} there already.\n"
        assert states() == states_before
        assert agrees()

    await sync_to_async(check)()


async def is_quiet(web: Web) -> None:
    """Nothing is being committed, for what holds the loop up would be waited for in vain when rows are put back."""

    async def has_ended() -> bool:
        connected = await Instance.objects.filter(connected=True).aexists()
        return not connected and web.entrance.runtime.writer.waiting == 0

    await aeventually(has_ended)


async def test_what_is_brought_is_over_until_its_agent_says_hello(
    web: Web, tmp_path: Path, restore_contents: Callable[[], None]
) -> None:
    an_hour_ago = NOW - timedelta(hours=1)
    opened = {"breaker": "catalog", "state": "open", "since": an_hour_ago.isoformat()}
    async with web.agent(opened) as agent:
        last_word = (an_hour_ago + timedelta(seconds=4)).isoformat()
        await agent.events({"breaker": "catalog", "to": "half_open", "occurred_at": last_word})

    def move() -> None:
        Instance.objects.update(last_seen=an_hour_ago + timedelta(seconds=2))
        exported(tmp_path / "history.ndjson")
        restore_contents()
        for kind in ("opened", "instance_lost"):
            make_rule(kind=kind, name=kind)
        imported(tmp_path / "history.ndjson")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE watch SET alive_since = now() - interval '1 hour'")

    await sync_to_async(move)()
    await web.entrance.runtime.liveness._look()
    await sync_to_async(evaluate_pending)()

    assert not await Incident.objects.aexists()
    shown = await web.breaker("orders", "catalog")
    assert (shown["state"], shown["instances"]) == ("unknown", 0)
    assert await Event.objects.filter(reason="instance_lost").acount() == 0
    since = (an_hour_ago - timedelta(minutes=5)).isoformat()
    report = await web.get(f"breakers/{shown['id']}/report", since=since, until=NOW.isoformat())
    assert report["any_open"] == 4

    again = {"breaker": "catalog", "state": "open"}
    async with web.agent(again, boot="b2"):
        shown = await web.breaker("orders", "catalog")
        assert (shown["state"], shown["instances"]) == ("open", 1)
        await sync_to_async(evaluate_pending)()
        assert [one.rule_name async for one in Incident.objects.all()] == ["opened"]
    await is_quiet(web)


async def test_a_file_that_was_cut_short_is_told_and_goes_on_from_the_whole_one(
    moved: tuple[Path, list[Any], list[Any]], tmp_path: Path
) -> None:
    path, states_before, _ = moved

    def check() -> None:
        cut = tmp_path / "cut.ndjson"
        cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

        _, wrong = imported(cut)

        assert "is not JSON" in wrong
        assert agrees()
        imported(path)
        assert states() == states_before

    await sync_to_async(check)()


async def test_filters_narrow_by_names_and_times(
    moved: tuple[Path, list[Any], list[Any]], tmp_path: Path
) -> None:
    path, _, _ = moved

    def check() -> None:
        imported(path)
        half = (NOW - timedelta(hours=3) + timedelta(seconds=30)).isoformat()

        dev = exported(tmp_path / "dev", "--environment", "dev").splitlines()
        early = exported(
            tmp_path / "early", "--service", "orders", "--until", half, "--no-snapshots"
        )

        assert [json.loads(line)["kind"] for line in dev] == [
            "header",
            "breaker",
            "instance",
            "event",
            "end",
        ]
        rows = [json.loads(line) for line in early.splitlines()]
        types = {row["type"] for row in rows if row["kind"] == "event"}
        assert types == {"state_change", "note"}
        assert rows[-1] == {
            "kind": "end",
            "breakers": 1,
            "instances": 3,
            "events": 2,
            "snapshots": 0,
        }

    await sync_to_async(check)()


HEADER = {"kind": "header", "format": "panelboard-history", "version": 1}
GOOD = {
    "kind": "event",
    "environment": "prod",
    "service": "orders",
    "breaker": "catalog",
    "instance": "one",
    "id": "1",
    "occurred_at": (NOW - timedelta(days=200)).isoformat(),
    "received_at": (NOW - timedelta(days=200)).isoformat(),
    "type": "state_change",
    "to": "open",
}


def written(path: Path, *lines: Any) -> Path:
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


@pytest.mark.django_db(transaction=True)
def test_lines_that_are_wrong_are_told_by_number_and_the_others_are_brought(tmp_path: Path) -> None:
    path = written(
        tmp_path / "odd",
        HEADER,
        GOOD,
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"kind": "event", "detail": "' + b"x" * 2_000_000 + b'"}',
        {**GOOD, "id": "2", "to": "unknown"},
        {**GOOD, "id": "3", "service": "a\u0000b"},
        {**GOOD, "id": "4", "occurred_at": "0001-01-01T00:00:00+14:00"},
        {**GOOD, "id": "5", "occurred_at": "9999-12-31T23:59:59-14:00"},
        {**GOOD, "id": "6", "seq": 2**60},
        {**GOOD, "id": "7", "to": None},
        {**GOOD, "id": "8", "detail": "\ud800"},
        {**GOOD, "id": "9", "metrics": {"calls": 1e400}},
        {**GOOD, "id": "10", "to": "closed", "occurred_at": NOW.isoformat()},
        {"kind": "end", "breakers": 0, "instances": 0, "events": 2, "snapshots": 0},
    )

    told, wrong = imported(path)

    assert told == "2 new, 0 there already.\n"
    numbers = [int(line.split()[1][:-1]) for line in wrong.splitlines() if line.startswith("line ")]
    assert numbers == [*range(4, 16)]
    assert "line 8: to: is only ever said by the server" in wrong
    assert "12 lines were left out." in wrong
    assert BreakerInstance.objects.get().state == "closed"
    assert agrees()


@pytest.mark.django_db(transaction=True)
def test_what_follows_the_end_is_left_out_and_told_by_number(tmp_path: Path) -> None:
    end = {"kind": "end", "breakers": 0, "instances": 0, "events": 1, "snapshots": 0}
    path = written(tmp_path / "more", HEADER, GOOD, end, b"", {**GOOD, "id": "2"}, HEADER, end)

    told, wrong = imported(path)

    assert told == "1 new, 0 there already.\n"
    assert [line for line in wrong.splitlines() if line.startswith("line ")] == [
        f"line {number}: line: comes after the end" for number in (5, 6, 7)
    ]
    assert "3 lines were left out." in wrong


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "first", [b"", b"PK\x03\x04", b'{"to": "open"}', json.dumps(HEADER | {"version": 2}).encode()]
)
def test_what_is_no_export_is_refused_at_once(tmp_path: Path, first: bytes) -> None:
    path = written(tmp_path / "none", first, GOOD)

    told, wrong = imported(path)

    assert told == ""
    assert "no export that can be read here" in wrong
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_export_into_no_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file or directory"):
        call_command("export", output=tmp_path / "none" / "x")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"environment": "nope"}, "no environment “nope”"),
        ({"service": "nope"}, "no service “nope”"),
        ({"environment": "dev", "service": "orders"}, "no service “orders”"),
    ],
)
def test_an_export_of_what_is_not_there_is_refused(
    named: dict[str, str], told: str, tmp_path: Path
) -> None:
    make_breaker(environment="prod", service="orders")
    make_breaker(environment="dev", service="payroll")

    with pytest.raises(CommandError, match=told):
        call_command("export", output=tmp_path / "x", **named)

    assert not (tmp_path / "x").exists()


@pytest.mark.django_db(transaction=True)
def test_an_export_goes_to_stdout_and_comes_from_stdin(
    capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(written(tmp_path / "one", HEADER, GOOD))
    call_command("export")
    sys.stdout.flush()
    out = capfdbinary.readouterr().out

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(out)))
    told = io.StringIO()
    call_command("import", "-", stdout=told, stderr=io.StringIO())

    assert told.getvalue() == "0 new, 1 there already.\n"
