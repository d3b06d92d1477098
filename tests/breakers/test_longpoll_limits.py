"""The agent protocol without a socket: who may wait, ask and say, how much, and what is refused."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from breakers.agents import waiting
from breakers.models import ApiKey
from tests.support.eventually import aeventually
from tests.support.make import make_key
from tests.support.poller import CLOSED, Poller, applied, force, waiting_call
from tests.support.web import Web


async def test_a_caller_that_goes_away_frees_its_place(web: Web, poller: Poller) -> None:
    runtime = web.entrance.runtime
    async with waiting_call(poller):
        pass

    await aeventually(lambda: not runtime.waiting._waiters)
    assert not runtime.waiting._of_key
    assert not runtime.agents._others


async def test_a_key_may_have_so_many_calls_waiting_and_no_more(
    web: Web, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "WAITERS_MAX", 1)
    _, other_key = await sync_to_async(make_key)(name="other", scopes=["agent"])
    async with waiting_call(poller):
        answer = await poller.ask(after=poller.cursor, wait=1)
        other = await Poller(web, key=other_key).ask(after=poller.cursor, wait=0)

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert other.status_code == 200


async def test_a_revoked_key_ends_its_waits_within_seconds(web: Web, poller: Poller) -> None:
    _, poller.key = await sync_to_async(make_key)(name="short", scopes=["agent"])
    async with waiting_call(poller) as call:
        await ApiKey.objects.filter(name="short").aupdate(revoked_at=timezone.now())

        assert (await asyncio.wait_for(call, 30)).status_code == 401


async def test_a_server_that_ends_lets_nobody_wait(web: Web, poller: Poller) -> None:
    async with waiting_call(poller) as call:
        web.server.should_exit = True

        answer = await asyncio.wait_for(call, 30)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


async def test_another_processs_word_is_found_by_rereading_each_second(
    web: Web, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with Redis down: nobody tells this process that something is wished."""
    monkeypatch.setattr("breakers.desired.revise.announce_desired", lambda services: None)
    async with waiting_call(poller) as call:
        await force(web)

        [desired] = poller._take(await asyncio.wait_for(call, 30))

    assert desired["mode"] == "forced_open"


async def test_who_may_ask_and_say(web: Web, poller: Poller) -> None:
    _, reader = await sync_to_async(make_key)(name="reader", scopes=["read"])
    _, limited = await sync_to_async(make_key)(
        name="limited", scopes=["agent"], environment="prod", services=["feed"]
    )
    for key, status in (("wrong", 401), (reader, 403), (limited, 404)):
        stranger = Poller(web, key=key)
        assert (await stranger.ask()).status_code == status
        assert (await stranger.say(CLOSED)).status_code == status
    unknown = await poller.ask(service="nobody")
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"


async def test_a_key_of_one_environment_need_not_name_it(web: Web) -> None:
    _, key = await sync_to_async(make_key)(name="staging", scopes=["agent"], environment="staging")
    said = {"service": "orders", "instance": "one", "boot": "b", "breakers": [CLOSED]}
    answer = await web.http.post(
        "/api/v1/agent/applied", json={"hello": said}, headers=web.bearer(key)
    )
    assert answer.status_code == 200, answer.text

    asked = await web.http.get(
        "/api/v1/agent/desired?service=orders&instance=one", headers=web.bearer(key)
    )

    assert asked.json()["desired"] == []


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ({"service": ""}, "service"),
        ({"instance": "a\0"}, "instance"),
        ({"environment": "e" * 201}, "environment"),
        ({"boot": "\n"}, "boot"),
        ({"wait": "61"}, "wait"),
        ({"wait": "-1"}, "wait"),
        ({"wait": "nan"}, "wait"),
        ({"wait": "soon"}, "wait"),
        ({"wait": "1_0"}, "wait"),
        ({"after": "made up"}, "after"),
    ],
)
async def test_a_bad_question_is_answered_with_where(
    web: Web, poller: Poller, query: dict[str, str], loc: str
) -> None:
    answer = await poller.ask(**query)

    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["errors"]] == [[loc]]


async def test_a_cursor_of_another_instance_is_none(web: Web, poller: Poller) -> None:
    other = Poller(web, instance="other")
    await other.hello(CLOSED)

    assert (await other.ask(after=poller.cursor)).status_code == 422


BAD_BODIES = {
    "no JSON": (b"hello", 400),
    "no object": (b"[]", 422),
    "no hello": (b"{}", 422),
    "no boot": (b'{"hello": {"service": "a", "instance": "b"}}', 422),
    "another frame": (b'{"type": "ping", "service": "a", "instance": "b", "boot": "c"}', 422),
    "NUL in a name": (b'{"service": "a\\u0000", "instance": "b", "boot": "c"}', 422),
    "applied is no list": (b'{"service": "a", "instance": "b", "boot": "c", "applied": 1}', 422),
    "nested too deep": (b'{"hello": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
    "cut off": (b'{"hello": {', 400),
    "not UTF-8": (b'{"hello": {"service": "\xff"}}', 400),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_bad_body_is_refused(web: Web, name: str) -> None:
    body, status = BAD_BODIES[name]

    answer = await web.http.post(
        "/api/v1/agent/applied",
        content=body,
        headers=web.bearer() | {"Content-Type": "application/json"},
    )

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_methods_types_and_sizes_are_those_of_every_endpoint(web: Web) -> None:
    async def post(body: bytes, media: str) -> int:
        answer = await web.http.post(
            "/api/v1/agent/applied", content=body, headers=web.bearer() | {"Content-Type": media}
        )
        return answer.status_code

    assert await post(b"{}", "text/plain") == 415
    assert await post(b" " * (2**20 + 1), "application/json") == 413
    assert (await web.call("GET", "agent/applied", None)).status_code == 405
    assert (await web.call("POST", "agent/desired", {})).status_code == 405
    many = [{"breaker": "a", "revision": 1, "ok": True}] * 1001
    assert (await Poller(web).say(applied=many)).status_code == 413


async def test_each_applied_stands_or_falls_alone(web: Web, poller: Poller) -> None:
    await force(web)
    good = {"breaker": "catalog", "revision": 1, "ok": True, "state": "forced_open"}

    told = await poller.hello(
        applied=[good | {"state": "ajar"}, good, good | {"breaker": "nobody's"}, 7]
    )

    assert told["accepted"] == 1
    assert [one["index"] for one in told["rejected"]] == [0, 2, 3]
    assert told["rejected"][0]["errors"][0]["loc"] == ["state"]
    assert await applied(web) == 1


async def test_a_refusal_is_shown(web: Web, poller: Poller) -> None:
    made = await force(web)

    await poller.hello(
        applied=[{"breaker": "catalog", "revision": 1, "ok": False, "error": "read-only"}]
    )

    [inside] = (await web.get(f"breakers/{made['breaker']}/instances"))["items"]
    assert inside["apply_error"] == "read-only"


async def test_a_key_that_calls_too_fast_is_told_to_wait(web: Web) -> None:
    _, key = await sync_to_async(make_key)(name="slow", scopes=["agent"], events_per_second=1)
    poller = Poller(web, key=key)
    await poller.hello(CLOSED)

    answer = await poller.ask()

    assert answer.status_code == 429
    assert "retry-after" in answer.headers


async def test_a_key_that_may_make_no_more_names_is_refused(web: Web) -> None:
    _, key = await sync_to_async(make_key)(name="few", scopes=["agent"], names_max=1)

    answer = await Poller(web, key=key).say(CLOSED)

    assert answer.status_code == 403
