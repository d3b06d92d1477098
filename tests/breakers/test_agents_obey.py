"""What is wished of an agent's breakers, and what becomes of it: overrides, refusals, commands, revisions."""

from __future__ import annotations

import psycopg
import pytest
from django.conf import settings

from breakers.models import Breaker, BreakerInstance, Override
from dashboard.postgresql import base
from tests.breakers.test_agents import CLOSED, FORCE, breaker_id, force, inside
from tests.support.eventually import aeventually
from tests.support.web import Web


async def test_an_agent_ahead_of_a_restored_database_is_told_what_stands_anew(web: Web) -> None:
    async with web.agent(CLOSED):
        override = await force(web)
    async with web.agent(CLOSED | {"applied_revision": 900}, boot="b2") as agent:
        [desired] = agent.welcome["desired"]
        assert (desired["mode"], desired["revision"]) == ("forced_open", 901)
        shown = (await web.breaker("orders", "catalog"))["override"]
        assert (shown["applied"], shown["pending"]) == (0, 1)

        await agent.say(
            type="applied", breaker="catalog", revision=901, ok=True, state="forced_open"
        )

        async def applied() -> bool:
            return bool((await web.breaker("orders", "catalog"))["override"]["applied"] == 1)

        await aeventually(applied)
        assert (await force(web))["revision"] > 901 > override["revision"]
    [raised] = (await web.get("audit", action="raise_revision"))["items"]
    assert (raised["actor"]["kind"], raised["actor"]["name"]) == ("server", "Panelboard")
    assert raised["before"] == {"revision": override["revision"]}
    assert raised["after"] == {"revision": 901, "instance": "one", "applied": 900}


@pytest.mark.parametrize("applied", [1_000_100, 2**40, 2**53 - 1])
async def test_a_revision_that_no_backup_can_lack_is_not_believed(web: Web, applied: int) -> None:
    async with web.agent(CLOSED | {"applied_revision": applied}) as agent:
        [warned] = agent.welcome["warnings"]
        assert (warned["breaker"], warned["code"]) == ("catalog", "revision_unknown")
        assert str(applied) in warned["msg"]

        override = await force(web)
        assert override["revision"] == 1
        assert (await agent.hear("desired"))["revision"] == 1
        assert (await inside(web))["applied_revision"] == 0

        await agent.say(type="applied", breaker="catalog", revision=applied, ok=True)

        async def refused() -> str:
            return str((await inside(web))["apply_error"] or "")

        assert str(applied) in await aeventually(refused)
        assert (await inside(web))["applied_revision"] == 0
        assert (await force(web))["revision"] == 2

        # It has forgotten it, as it was told.
        await agent.say(type="applied", breaker="catalog", revision=2, ok=True, state="forced_open")

        async def believed() -> bool:
            return bool((await inside(web))["applied_revision"] == 2)

        await aeventually(believed)
    assert "raise_revision" not in [entry["action"] for entry in (await web.get("audit"))["items"]]


async def test_agents_cannot_take_a_revision_up_in_steps_and_leave_no_numbers_for_hands(
    web: Web,
) -> None:
    async with web.agent(CLOSED):
        await Breaker.objects.aupdate(revision=2**40 - 2)
    async with web.agent(CLOSED | {"applied_revision": 2**40 - 1}) as agent:
        assert "warnings" not in agent.welcome
    for applied in (2**40, 2**40 + 500_000, 2**53 - 1):
        async with web.agent(CLOSED | {"applied_revision": applied}, boot=str(applied)) as agent:
            assert ("warnings" in agent.welcome) == (applied > 2**40)

    assert (await force(web))["revision"] == 2**40 + 1


async def test_an_answer_that_is_ahead_of_a_restored_database_is_one_of_an_agent_to_be_told_anew(
    web: Web,
) -> None:
    async with web.agent(CLOSED) as agent:
        await force(web)
        await agent.hear("desired")
        await agent.say(type="applied", breaker="catalog", revision=20, ok=True, state="closed")

        anew = await agent.hear("desired")

    assert (anew["revision"], anew["mode"]) == (21, "forced_open")


async def test_an_override_reaches_the_agent_and_is_confirmed(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        made = await force(web)

        desired = await agent.hear("desired")
        assert desired["mode"] == "forced_open"
        assert desired["reason"] == "maintenance"
        assert 590 < desired["expires_in"] <= 600
        pending = (await web.breaker("orders", "catalog"))["override"]
        assert (pending["applied"], pending["pending"]) == (0, 1)

        await agent.say(
            type="applied",
            breaker="catalog",
            revision=made["revision"],
            ok=True,
            state="forced_open",
            natural_state="closed",
        )

        async def applied() -> bool:
            return bool((await web.breaker("orders", "catalog"))["override"]["applied"] == 1)

        await aeventually(applied)
        assert (await web.breaker("orders", "catalog"))["state"] == "forced_open"


async def test_a_late_agent_is_put_right_by_its_welcome(web: Web) -> None:
    async with web.agent(CLOSED):
        await force(web)

    async with web.agent(CLOSED, instance="two") as agent:
        [desired] = agent.welcome["desired"]

    assert desired["mode"] == "forced_open"


async def test_outside_its_scope_the_mode_is_null_and_confirmed_too(web: Web) -> None:
    async with web.agent(CLOSED, instance="in") as inside, web.agent(CLOSED, instance="out") as out:
        made = await force(web, instances=["in"])

        told_inside, told_out = await inside.hear("desired"), await out.hear("desired")

    assert told_inside["mode"] == "forced_open"
    assert (told_out["mode"], told_out["revision"]) == (None, made["revision"])


async def test_a_refusal_is_shown(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        made = await force(web)
        await agent.hear("desired")
        await agent.say(
            type="applied",
            breaker="catalog",
            revision=made["revision"],
            ok=False,
            error="no such breaker in the library",
        )

        async def refused() -> str | None:
            [inside] = (await web.get(f"breakers/{await breaker_id(web)}/instances"))["items"]
            return str(inside["apply_error"] or "")

        assert await aeventually(refused) == "no such breaker in the library"


@pytest.mark.parametrize("presented", [True, False])
async def test_a_refusal_ends_with_its_life_and_stays_in_history(web: Web, presented: bool) -> None:
    async with web.agent(CLOSED) as agent:
        revision = (await force(web))["revision"]
        refusal = {"type": "applied", "breaker": "catalog", "ok": False, "error": "read-only"}
        for _ in range(2):
            await agent.say(**refusal, revision=revision)
        await aeventually(BreakerInstance.objects.filter(refused_revision=revision).aexists)

    # The new life may say only later which breakers it has.
    async with web.agent(*([CLOSED] if presented else []), boot="b2") as anew:
        if not presented:
            await anew.hello(CLOSED, boot="b2")
        shown = await inside(web)
        assert (shown["apply_error"], shown["last_refusal"]) == (None, None)
        assert shown["drift"]["kind"] == "behind"

        kept = await web.get(f"breakers/{await breaker_id(web)}/events", type="note")
        [told] = kept["items"]
        assert (told["reason"], told["detail"]) == ("refused", f"revision {revision}: read-only")
        assert (told["instance"], told["boot"], told["cause"]) == ("one", "b1", "override")


async def test_a_refusal_stays_listed_after_a_later_success_of_its_life(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        revision = (await force(web))["revision"]
        answer = {"type": "applied", "breaker": "catalog", "revision": revision}
        await agent.say(**answer, ok=False, error="busy")
        await agent.say(**answer, ok=True, state="forced_open")
        await aeventually(BreakerInstance.objects.filter(applied_revision=revision).aexists)

    async with web.agent(CLOSED):
        shown = await inside(web)
    assert (shown["apply_error"], shown["last_refusal"]["error"]) == (None, "busy")


async def test_an_override_ends_at_its_expiry_with_a_revision(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        made = await force(web, expires_in=1)
        await agent.hear("desired")

        ended = await agent.hear("desired")

    assert ended["mode"] is None
    assert ended["revision"] > made["revision"]
    assert (await web.breaker("orders", "catalog"))["override"] is None
    actions = [entry["action"] for entry in (await web.get("audit"))["items"]]
    assert actions[:2] == ["expire", "override"]


async def test_an_override_that_cannot_be_ended_yet_holds_up_no_other(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LOCKED_MAX_MS", 200)
    names = ("held", "free")
    await web.post_events(
        *[{"service": name, "breaker": "catalog", "to": "closed"} for name in names]
    )
    held, free = [(await web.breaker(name, "catalog"))["id"] for name in names]
    for id in (held, free):
        await web.call("PUT", f"breakers/{id}/override", FORCE | {"expires_in": 1})
    ended = Override.objects.filter(end="expired")
    async with await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as holder:
        await holder.execute("SELECT FROM breaker WHERE id = %s FOR UPDATE", [held])
        await aeventually(ended.filter(breaker=free).aexists)
        assert not await ended.filter(breaker=held).aexists()

    await aeventually(ended.filter(breaker=held).aexists)


async def test_a_release_reaches_the_agent(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        await force(web)
        await agent.hear("desired")

        answer = await web.call(
            "DELETE", f"breakers/{await breaker_id(web)}/override", {"reason": "provider is back"}
        )

        assert answer.status_code == 200
        assert (await agent.hear("desired"))["mode"] is None


async def test_what_happens_right_after_a_release_is_what_came_last(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        await force(web)
        held = (await agent.hear("desired"))["revision"]
        await agent.say(
            type="applied", breaker="catalog", revision=held, ok=True, state="forced_open"
        )
        await web.call("DELETE", f"breakers/{await breaker_id(web)}/override", {"reason": "over"})
        free = (await agent.hear("desired"))["revision"]

        # Without waiting for anything, so that both are in one group.
        await agent.say(type="applied", breaker="catalog", revision=free, ok=True, state="closed")
        await agent.events({"breaker": "catalog", "to": "open", "seq": 2})

        inside_it = await inside(web)
        assert (inside_it["applied_revision"], inside_it["state"]) == (free, "open")
    id = await breaker_id(web)
    moves = [one["to"] for one in (await web.get(f"breakers/{id}/events"))["items"]]
    assert moves[:3] == ["open", "closed", "forced_open"]


async def test_a_command_reaches_those_known_when_it_was_given(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        answer = await web.call(
            "POST",
            f"breakers/{await breaker_id(web)}/commands",
            {"command": "trip", "reason": "trying the fallback"},
        )

        assert answer.status_code == 202
        desired = await agent.hear("desired")
        assert desired["command"]["command"] == "trip"
        assert desired["command"]["id"] == answer.json()["id"]
        assert 0 < desired["command"]["expires_in"] <= 60

        async with web.agent(CLOSED, instance="later") as later:
            [welcomed] = later.welcome["desired"]
            assert welcomed["command"] is None


@pytest.mark.parametrize("ran", [True, False])
async def test_a_new_life_is_given_a_command_only_where_none_before_it_has_run_it(
    web: Web, ran: bool
) -> None:
    async with web.agent(CLOSED) as agent:
        await web.call(
            "POST", f"breakers/{await breaker_id(web)}/commands", {"command": "trip", "reason": "r"}
        )
        revision = (await agent.hear("desired"))["revision"]
        if ran:
            await agent.say(
                type="applied", breaker="catalog", revision=revision, ok=True, state="open"
            )
            await aeventually(BreakerInstance.objects.filter(applied_revision=revision).aexists)

    async with web.agent(CLOSED, boot="b2") as anew:
        [welcomed] = anew.welcome["desired"]
        assert welcomed["revision"] == revision
        assert (welcomed["command"] is None) is ran
