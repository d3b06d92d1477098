from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakers.access import Actor
from breakers.asgi import TooLarge
from breakers.ingest.formats import NotUnderstood, formats
from breakers.ingest.gzip import BadGzip, expand
from breakers.ingest.sort import sort
from breakers.models import Event, Scope
from tests.support.web import Web

NOW = datetime.now(UTC)
EVENT = {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "open"}
ANYONE = Actor(kind="key", id=1, name="k", can=frozenset({Scope.INGEST}))


def envelope(**fields: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "io.panelboard.breaker.event.v1",
        "id": "ce-1",
        "source": "/orders",
        "data": EVENT,
    } | fields


async def post(web: Web, content: bytes, media: str, **headers: str) -> Any:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return await web.http.post(
        "/api/v1/events", content=content, headers=web.bearer() | {"content-type": media} | more
    )


async def test_ndjson_rejects_a_bad_line_alone_and_counts_no_blank_one(web: Web) -> None:
    good = json.dumps(EVENT)

    answer = await post(web, f"{good}\n\n{{bad\r\n{good}\n".encode(), "application/x-ndjson")

    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [one["index"] for one in answer.json()["rejected"]] == [1]


async def test_half_a_surrogate_pair_condemns_its_own_event_alone(web: Web) -> None:
    halves = [{"detail": "\ud83d"}, {"breaker": "\ude00x"}, {"labels": {"a": "\ud83dx"}}]
    good = [{"detail": "\U0001f600"}, {"detail": "\\ud83d, told as an escape"}]
    body = json.dumps([EVENT | fields for fields in [*good, *halves]]).encode()

    answer = await post(web, body, "application/json")

    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [one["index"] for one in answer.json()["rejected"]] == [2, 3, 4]
    told = {event.detail async for event in Event.objects.all()}
    assert told == {fields["detail"] for fields in good}


async def test_ndjson_of_which_no_line_is_json_is_a_bad_request(web: Web) -> None:
    assert (await post(web, b"a\nb\n", "application/x-ndjson")).status_code == 400


async def test_a_structured_cloudevent_has_its_own_id_and_time(web: Web) -> None:
    at = (NOW - timedelta(seconds=30)).isoformat()
    body = json.dumps(envelope(time=at)).encode()

    first = await post(web, body, "application/cloudevents+json; charset=utf-8")
    again = await post(web, body, "application/cloudevents+json")

    assert first.json()["accepted"] == 1
    assert again.json()["duplicates"] == 1
    stored = await Event.objects.aget()
    assert (stored.event_id, stored.occurred_at) == ("ce-1", datetime.fromisoformat(at))


async def test_batched_cloudevents_stand_or_fall_alone(web: Web) -> None:
    bad = [envelope(id="b", type="other"), envelope(id="c", specversion="0.3"), envelope(id=""), 7]
    body = json.dumps([envelope(id="a"), *bad]).encode()

    answer = await post(web, body, "application/cloudevents-batch+json")

    assert answer.json()["accepted"] == 1
    locs = [one["errors"][0]["loc"] for one in answer.json()["rejected"]]
    assert locs == [["type"], ["specversion"], ["id"], []]


async def test_a_cloudevent_without_data_names_the_place(web: Web) -> None:
    one = envelope()
    del one["data"]

    answer = await post(web, json.dumps(one).encode(), "application/cloudevents+json")

    assert answer.status_code == 422
    assert answer.json()["rejected"][0]["errors"][0]["loc"] == ["data"]


async def test_the_data_of_a_cloudevent_may_come_as_bytes(web: Web) -> None:
    def as_bytes(id: str, data: str) -> dict[str, Any]:
        one = envelope(id=id, data_base64=data)
        del one["data"]
        return one

    encoded = base64.b64encode(json.dumps(EVENT).encode()).decode()
    bad = [as_bytes("b", "?"), as_bytes("c", base64.b64encode(b"{").decode()), as_bytes("d", "")]
    body = json.dumps([as_bytes("a", encoded), *bad]).encode()

    answer = await post(web, body, "application/cloudevents-batch+json")

    assert answer.json()["accepted"] == 1
    locs = [one["errors"][0]["loc"] for one in answer.json()["rejected"]]
    assert locs == [["data_base64"]] * 3
    assert (await Event.objects.aget()).event_id == "a"


async def test_a_binary_cloudevent_has_its_attributes_in_headers(web: Web) -> None:
    answer = await post(
        web,
        json.dumps(EVENT).encode(),
        "application/json",
        ce_specversion="1.0",
        ce_type="io.panelboard.breaker.event.v1",
        ce_id="bin-1",
        ce_source="/orders",
    )

    assert answer.json()["accepted"] == 1
    assert (await Event.objects.aget()).event_id == "bin-1"


async def test_a_binary_cloudevent_of_another_type_is_refused(web: Web) -> None:
    answer = await post(
        web,
        json.dumps(EVENT).encode(),
        "application/json",
        ce_specversion="1.0",
        ce_type="other",
        ce_id="x",
        ce_source="/o",
    )

    assert answer.status_code == 422


async def test_gzip_is_expanded(web: Web) -> None:
    body = gzip.compress(json.dumps([EVENT] * 3).encode())

    answer = await post(web, body, "application/json", content_encoding="gzip")

    assert answer.json()["accepted"] == 3


BAD_GZIP = {
    "a bomb": (gzip.compress(b" " * 50_000_000), 413),
    "many small members of a bomb": (gzip.compress(b" " * 600_000) * 3, 413),
    "cut off": (gzip.compress(json.dumps(EVENT).encode())[:-9], 400),
    "no gzip": (b"{}", 400),
    "nothing": (b"", 400),
    "something behind it": (gzip.compress(b"{}") + b"tail", 400),
    "members without end": (gzip.compress(b"[]") + gzip.compress(b"") * 50_000, 400),
}


@pytest.mark.parametrize("name", BAD_GZIP)
async def test_a_broken_gzip_is_refused(web: Web, name: str) -> None:
    body, status = BAD_GZIP[name]

    answer = await post(web, body, "application/json", content_encoding="gzip")

    assert answer.status_code == status


async def test_another_encoding_is_unsupported(web: Web) -> None:
    answer = await post(web, b"{}", "application/json", content_encoding="br")

    assert answer.status_code == 415


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_make_a_format_raise_anything_but_its_own_error(body: bytes) -> None:
    for split in formats().values():
        try:
            items = split(body, lambda name: None)
        except NotUnderstood:
            continue
        sort(items, ANYONE, now=NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = [
    "service",
    "breaker",
    "to",
    "id",
    "seq",
    "occurred_at",
    "metrics",
    "labels",
    "type",
    "boot",
]


@given(
    st.lists(st.dictionaries(st.sampled_from([*FIELDS, "data", "time"]), json_values), max_size=3)
)
def test_no_json_makes_the_parser_raise(values: list[dict[str, Any]]) -> None:
    for body in (json.dumps(values), json.dumps([envelope(**value) for value in values])):
        for split in formats().values():
            try:
                items = split(body.encode(errors="surrogatepass"), lambda name: None)
            except NotUnderstood:
                continue
            found = sort(items, ANYONE, now=NOW)
            assert len(found.events) + len(found.rejected) == len(items)


@given(st.lists(st.binary(max_size=40_000), min_size=1, max_size=5))
def test_members_are_expanded_one_after_the_other(contents: list[bytes]) -> None:
    body = b"".join(gzip.compress(content, compresslevel=0) for content in contents)

    assert expand(body, limit=300_000) == b"".join(contents)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_expanding_gives_the_content_or_says_why_not(content: bytes, limit: int) -> None:
    body = gzip.compress(content)

    if len(content) > limit:
        with pytest.raises(TooLarge):
            expand(body, limit=limit)
    else:
        assert expand(body, limit=limit) == content
    with pytest.raises(BadGzip):
        expand(body[:-1], limit=1000)


async def test_the_headers_of_a_binary_cloudevent_are_percent_decoded(web: Web) -> None:
    head = {"ce-specversion": "1.0", "ce-type": "io.panelboard.breaker.event.v1", "ce-source": "/o"}

    good = await post(
        web, json.dumps(EVENT).encode(), "application/json", **head, ce_id="a%20%E2%82%AC"
    )
    bad = await post(web, json.dumps(EVENT).encode(), "application/json", **head, ce_id="%FF")

    assert (good.status_code, bad.status_code) == (202, 422)
    assert (await Event.objects.aget()).event_id == "a €"
