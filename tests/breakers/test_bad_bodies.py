"""Bodies that nobody should send: each gets a clear 4xx that names the place, and stores nothing of what it
refuses."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from breakers import asgi, bodies
from breakers.models import Event, Instance, Snapshot
from tests.support.held import held_up, wait_for_a_lock
from tests.support.web import Web, serve

JSON = "application/json"
NDJSON = "application/x-ndjson"
CLOUD = "application/cloudevents+json"
MIB = 2**20


def event(**fields: Any) -> dict[str, Any]:
    return {"service": "orders", "breaker": "catalog", "to": "open"} | fields


def said(**fields: Any) -> bytes:
    return json.dumps(event(**fields)).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in event().items() if key != name}).encode()


def with_raw(name: str, raw: str) -> bytes:
    """A field whose value json.dumps would never write."""
    return said(x=1).replace(b'"x": 1', f'"{name}": {raw}'.encode())


def cloud(**fields: Any) -> bytes:
    envelope = {
        "specversion": "1.0",
        "type": "io.panelboard.breaker.event.v1",
        "id": "1",
        "source": "/x",
        "data": event(),
    }
    return json.dumps({k: v for k, v in (envelope | fields).items() if v is not None}).encode()


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


# Understood as JSON, refused as an event: where, and the body.
WRONG_EVENTS: dict[str, tuple[list[str | int], bytes]] = {
    "a number for an event": ([], b"[1]"),
    "null for an event": ([], b"[null]"),
    "a string for an event": ([], b'["open"]'),
    "an array for an event": ([], b"[[]]"),
    "no service": (["service"], without("service")),
    "no breaker": (["breaker"], without("breaker")),
    "no state": (["to"], without("to")),
    "an empty service": (["service"], said(service="")),
    "a service of 201 characters": (["service"], said(service="x" * 201)),
    "a number for the service": (["service"], said(service=1)),
    "null for the service": (["service"], said(service=None)),
    "NUL in the service": (["service"], said(service="a\0b")),
    "a line break in the breaker": (["breaker"], said(breaker="a\nb")),
    "an escape sequence in the breaker": (["breaker"], said(breaker="\x1b[2J")),
    "text turned around in the breaker": (["breaker"], said(breaker="a\u202eb")),
    "an object for the breaker": (["breaker"], said(breaker={})),
    "an array for the environment": (["environment"], said(environment=[])),
    "an empty instance": (["instance"], said(instance="")),
    "a truth for the instance": (["instance"], said(instance=True)),
    "a type that is none": (["type"], said(type="explosion")),
    "a state that is none": (["to"], said(to="ajar")),
    "the state unknown": (["to"], said(to="unknown")),
    "a number for the state": (["to"], said(to=1)),
    "a state before that is none": (["from"], said(**{"from": "ajar"})),
    "a natural state that is none": (["natural_state"], said(natural_state="ajar")),
    "an id of 201 characters": (["id"], said(id="x" * 201)),
    "a number for the id": (["id"], said(id=5)),
    "NUL in the id": (["id"], said(id="\0")),
    "a time without a zone": (["occurred_at"], said(occurred_at="2026-01-01T00:00:00")),
    "a number for the time": (["occurred_at"], said(occurred_at=1_700_000_000)),
    "a day that no month has": (["occurred_at"], said(occurred_at="2026-02-30T00:00:00Z")),
    "a time of long ago": (["occurred_at"], said(occurred_at="2020-01-01T00:00:00Z")),
    "a time far ahead": (["occurred_at"], said(occurred_at="2999-01-01T00:00:00Z")),
    "the first instant of the calendar": (
        ["occurred_at"],
        said(occurred_at="0001-01-01T00:00:00+14:00"),
    ),
    "the last instant of the calendar": (
        ["occurred_at"],
        said(occurred_at="9999-12-31T23:59:59-14:00"),
    ),
    "a negative seq": (["seq"], said(seq=-1)),
    "a seq of 2**53": (["seq"], said(seq=2**53)),
    "a seq beyond 64 bits": (["seq"], said(seq=2**70)),
    "a broken seq": (["seq"], said(seq=1.5)),
    "a text for the seq": (["seq"], said(seq="1")),
    "a boot of control characters": (["boot"], said(boot="\t")),
    "a cause that is none": (["cause"], said(cause="fate")),
    "a reason of 65 characters": (["reason"], said(reason="x" * 65)),
    "a number for the detail": (["detail"], said(detail=1)),
    "NUL in the detail": (["detail"], said(detail="a\0b")),
    "a target of 201 characters": (["target"], said(target="x" * 201)),
    "an object for the library": (["library"], said(library={"name": "x"})),
    "a text for the labels": (["labels"], said(labels="zone=a")),
    "17 labels": (["labels"], said(labels={str(n): "" for n in range(17)})),
    "a number for a label": (["labels", "zone"], said(labels={"zone": 1})),
    "a label whose key is empty": (["labels", ""], said(labels={"": "a"})),
    "NUL in a label": (["labels", "zone"], said(labels={"zone": "\0"})),
    "an array for the metrics": (["metrics"], said(metrics=[])),
    "a negative count": (["metrics", "calls"], said(metrics={"calls": -1})),
    "a broken count": (["metrics", "calls"], said(metrics={"calls": 0.5})),
    "a count beyond 64 bits": (["metrics", "calls"], said(metrics={"calls": 10**30})),
    "a rate of 101 percent": (["metrics", "failure_rate"], said(metrics={"failure_rate": 101})),
    "a window of no time": (["metrics", "window"], said(metrics={"window": 0})),
    "a latency beyond all floats": (
        ["metrics", "p50_ms"],
        with_raw("metrics", '{"p50_ms": 1e999}'),
    ),
    "a number of 5,000 digits": (["seq"], with_raw("seq", "9" * 5000)),
    "a field twice, the last one wrong": (["to"], with_raw("to", '"ajar"')),
    "half a surrogate pair": (["target"], with_raw("target", '"\\ud800"')),
    "the other half": (["target"], with_raw("target", '"\\udc00 and more"')),
    "labels nested 900 deep": ([], with_raw("labels", '{"a":' * 900 + "1" + "}" * 900)),
    "an envelope without an id": (["id"], cloud(id=None)),
    "an envelope without a source": (["source"], cloud(source=None)),
    "an envelope of another version": (["specversion"], cloud(specversion="0.3")),
    "an envelope of another type": (["type"], cloud(type="com.example.other")),
    "an envelope without data": (["data"], cloud(data=None)),
    "an envelope whose id is NUL": (["id"], cloud(id="\0")),
}

# Not even that: the status, the media type, the headers and the body.
WRONG_BODIES: dict[str, tuple[int, str, dict[str, str], bytes]] = {
    "nothing": (400, JSON, {}, b""),
    "white space": (400, JSON, {}, b"  \n "),
    "text": (400, JSON, {}, b"hello"),
    "half an object": (400, JSON, {}, said()[:-5]),
    "two objects": (400, JSON, {}, said() + said()),
    "a comma too many": (400, JSON, {}, b"[" + said() + b",]"),
    "NaN": (400, JSON, {}, with_raw("seq", "NaN")),
    "Infinity": (400, JSON, {}, with_raw("seq", "-Infinity")),
    "single quotes": (400, JSON, {}, b"{'service': 'orders'}"),
    "a byte order mark": (400, JSON, {}, b"\xef\xbb\xbf" + said()),
    "latin-1": (400, JSON, {}, said(detail="x").replace(b'"x"', b'"\xe9"')),
    "UTF-16": (400, JSON, {}, json.dumps(event()).encode("utf-16")),
    "a raw surrogate": (400, JSON, {}, said(detail="x").replace(b'"x"', b'"\xed\xa0\x80"')),
    "a raw line break in a string": (400, JSON, {}, said(detail="x").replace(b'"x"', b'"\n"')),
    "arrays nested 100,000 deep": (400, JSON, {}, b"[" * 100_000),
    "objects nested 100,000 deep": (400, JSON, {}, b'{"a":' * 100_000),
    "NDJSON without a line of JSON": (400, NDJSON, {}, b"a\nb\n"),
    "1,001 events": (413, JSON, {}, json.dumps([event()] * 1001).encode()),
    "1,001 lines": (413, NDJSON, {}, (said() + b"\n") * 1001),
    "more than 1 MiB": (413, JSON, {}, said(detail="x" * MIB)),
    "a bomb": (413, JSON, {"content-encoding": "gzip"}, gzip.compress(b" " * (256 * MIB))),
    "no gzip": (400, JSON, {"content-encoding": "gzip"}, said()),
    "half a gzip": (400, JSON, {"content-encoding": "gzip"}, gzip.compress(said())[:-9]),
    "gzip and more": (400, JSON, {"content-encoding": "gzip"}, gzip.compress(said()) + b"more"),
    "a wrong check sum": (
        400,
        JSON,
        {"content-encoding": "gzip"},
        gzip.compress(said())[:-8] + b"\0" * 8,
    ),
    "an encoding that is not taken": (415, JSON, {"content-encoding": "br"}, said()),
    "two encodings": (415, JSON, {"content-encoding": "gzip, gzip"}, said()),
    "no media type": (415, "", {}, said()),
    "a form": (415, "application/x-www-form-urlencoded", {}, b"service=orders"),
    "XML": (415, "application/xml", {}, b"<event/>"),
}


async def post(web: Web, body: bytes, media: str, **headers: str) -> Any:
    head = web.bearer() | {"content-type": media} | headers
    return await web.http.post("/api/v1/events", content=body, headers=head)


async def nothing_is_stored() -> bool:
    return not (
        await Event.objects.aexists()
        or await Snapshot.objects.aexists()
        or await Instance.objects.aexists()
    )


async def test_every_wrong_event_is_refused_with_its_place(web: Web) -> None:
    for name, (place, body) in WRONG_EVENTS.items():
        media = CLOUD if "envelope" in name else JSON

        answer = await post(web, body, media)

        assert answer.status_code == 422, (name, answer.text)
        told = answer.json()
        assert told["accepted"] == told["duplicates"] == 0, name
        errors = told["rejected"][0]["errors"]
        assert any(error["loc"][: len(place)] == place for error in errors), (name, errors)
        assert all(error["msg"] for error in errors), name
    assert await nothing_is_stored()


@pytest.mark.parametrize(
    ("body", "places"),
    [
        (
            with_raw("metrics", '{"calls": -1, "slow": 2, "window": 1e999}'),
            [["metrics", "calls"], ["metrics", "window"]],
        ),
        (said(labels={"a": 1, "b": "x", "c": None}), [["labels", "a"], ["labels", "c"]]),
        (said(seq=-1, to="ajar", target=None), [["seq"], ["to"]]),
        (cloud(id=None, time="soon"), [["id"], ["time"]]),
    ],
)
async def test_all_that_is_wrong_with_an_event_is_said(
    web: Web, body: bytes, places: list[list[str]]
) -> None:
    answer = await post(web, body, CLOUD if b"specversion" in body else JSON)

    errors = answer.json()["rejected"][0]["errors"]
    assert sorted(error["loc"] for error in errors) == places


async def test_what_is_told_of_very_much_that_is_wrong_fits_into_a_frame(web: Web) -> None:
    numbers = {str(number): number for number in range(50_000)}
    many = [event(labels={f"{'x' * 60}{n}": n for n in range(16)}) for _ in range(500)]

    one = await post(web, said(labels=numbers), JSON)
    all_ = await post(web, json.dumps(many).encode(), JSON)

    assert len(one.json()["rejected"][0]["errors"]) == 20
    assert len(all_.json()["rejected"]) == 500
    assert max(len(one.content), len(all_.content)) < MIB / 2


async def test_no_depth_at_which_a_decoder_gives_up_is_a_fault_of_ours(web: Web) -> None:
    """Which one it is, depends on how deep the program itself stands."""
    wrong = said(seq=-1, type=None, x=1)
    bodies = [
        wrong.replace(b'"x": 1', b'"x": ' + b"[" * depth + b"]" * depth)
        for depth in range(900, 1010)
    ]

    answers = [(await post(web, body, JSON)).status_code for body in bodies]

    assert answers == sorted(answers, reverse=True)
    assert set(answers) == {422, 400}


async def test_every_body_that_is_none_is_refused_with_a_reason(web: Web) -> None:
    for name, (status, media, headers, body) in WRONG_BODIES.items():
        answer = await post(web, body, media, **headers)

        assert answer.status_code == status, (name, answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/problem+json", name
        problem = answer.json()
        assert problem["status"] == status, name
        assert problem["detail"], name
    assert await nothing_is_stored()


async def test_a_wrong_event_among_good_ones_falls_alone(web: Web) -> None:
    wrong = [
        body for name, (_, body) in WRONG_EVENTS.items() if body[:1] == b"{" and "env" not in name
    ]
    body = b"\n".join([said(), *wrong, said()])

    answer = await post(web, body, NDJSON)

    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [one["index"] for one in answer.json()["rejected"]] == list(range(1, len(wrong) + 1))


@pytest.mark.parametrize("days", [1, 2_900_000])
async def test_a_refused_time_has_no_say_in_the_next_one(web: Web, days: float) -> None:
    body = json.dumps([event(occurred_at=in_days(days)), event()]).encode()

    assert (await post(web, body, JSON)).json()["accepted"] == 1

    stored = await Event.objects.aget()
    assert stored.occurred_at <= datetime.now(UTC)


async def test_what_is_odd_and_yet_right_is_taken(web: Web) -> None:
    """A field twice: the last one counts. Unknown ones, however deep, are ignored; so is a charset."""
    twice = with_raw("to", '"closed"')
    deep = with_raw("more", '{"a":' * 50 + "1" + "}" * 50)

    cut = with_raw(
        "more", '"\\ud83d"'
    )  # as JavaScript writes a text that was cut in the middle of a character

    floats = said(
        seq=3.0, metrics={"calls": 12.0, "window": 10.0}
    )  # to some languages all numbers are

    for body in (twice, deep, cut, floats, said(detail="x" * 5000), said(service="é" * 200)):
        answer = await post(web, body, "application/json; charset=iso-8859-1")
        assert answer.status_code == 202, answer.text


async def test_bombs_cost_no_memory(web: Web) -> None:
    bomb = gzip.compress(b" " * (512 * MIB))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    answers = await asyncio.gather(
        *[post(web, bomb, JSON, **{"content-encoding": "gzip"}) for _ in range(8)]
    )

    assert {answer.status_code for answer in answers} == {413}
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 64 * 1024


def large(*, of: str, random: bool = False) -> bytes:
    """Some 200 kB of events that are let in."""
    details = [secrets.token_hex(1800) if random else "x" * 3600 for _ in range(60)]
    return json.dumps([event(service=of, detail=detail) for detail in details]).encode()


@pytest.mark.parametrize("packed", [True, False])
async def test_what_waits_to_be_stored_is_bounded_by_its_size_once_it_is_expanded(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(bodies, "BYTES_MAX", MIB + MIB // 8)
    monkeypatch.setattr(bodies, "ROOM_WITHIN_S", 0.05)
    head = {"content-encoding": "gzip" if packed else "identity"}
    body = gzip.compress(large(of="orders")) if packed else large(of="orders")
    async with serve() as web:

        async def answered() -> tuple[int, str]:
            answer = await post(web, body, JSON, **head)
            return answer.status_code, answer.json().get("detail", "")

        assert await answered() == (202, "")
        async with held_up():
            waiting = [asyncio.create_task(answered()) for _ in range(8)]
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result() for task in done} == {(503, "Too much is being taken in.")}
            small = asyncio.create_task(post(web, said(), JSON))
            await wait_for_a_lock()
        told = {await task for task in waiting}

        assert told == {(202, ""), (503, "Too much is being taken in.")}
        assert (await small).status_code == 202
        assert await answered() == (202, "")


async def test_large_bodies_that_expand_do_not_wait_for_each_other_for_ever(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each needs room twice, and there is not enough for two of them."""
    monkeypatch.setattr(bodies, "BYTES_MAX", MIB + MIB // 4)
    body = gzip.compress(large(of="orders", random=True))
    assert bodies.FREE_MAX < len(body) < MIB // 4
    async with serve() as web:
        answers = await asyncio.gather(
            *[post(web, body, JSON, **{"content-encoding": "gzip"}) for _ in range(6)]
        )

    assert {answer.status_code for answer in answers} == {202}


@pytest.mark.parametrize("start", [b"", b'5\r\n[{"se\r\n'])
async def test_a_body_that_stalls_is_given_up(
    web: Web, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "CHUNK_WITHIN_S", 0.2)
    host, _, port = web.host.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /api/v1/events HTTP/1.1\r\nhost: {web.host}\r\nauthorization: Bearer {web.key}\r\n"
        f"content-type: {JSON}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode() + start)

    line = await asyncio.wait_for(reader.readline(), 30)

    assert b" 408 " in line
    writer.close()
    assert await nothing_is_stored()
