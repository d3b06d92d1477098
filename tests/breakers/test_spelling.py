"""Words that a call of control does not know: those that nobody does are passed over, and those that mean something are
not."""

from __future__ import annotations

from typing import Any

import pytest

from breakers.models import Command, Override
from tests.alerts.api.callers import Caller
from tests.support.make import make_breaker

pytestmark = pytest.mark.django_db
FORCE: dict[str, Any] = {"mode": "forced_open", "reason": "the provider moves", "expires_in": 600}
MANY = FORCE | {"match": {"service": "orders"}}


@pytest.mark.parametrize(
    "typo", ["dryrun", "dryRun", "instance", "start_at", "expire_in", "Confirm"]
)
def test_a_name_written_in_another_way_acts_on_nothing(typo: str) -> None:
    make_breaker()

    refused = Caller().post("/overrides", MANY | {typo: True}, status=422)

    assert refused["errors"][0]["loc"] == [typo]
    assert not Override.objects.exists()


def test_a_word_of_another_call_acts_on_nothing() -> None:
    """There is no dry run of one breaker, for one."""
    path, call = f"/breakers/{make_breaker().pk}", Caller()
    asked = FORCE | {"dry_run": True}

    refused = [
        call("PUT", f"{path}/override", asked),
        call("DELETE", f"{path}/override", {"reason": "r", "dryRun": True}),
        call("POST", f"{path}/commands", {"command": "trip", "reason": "r", "dry_run": True}),
        call("DELETE", f"{path}/override", {"reason": "r", "instances": ["one"]}),
        call("POST", f"{path}/commands", {"command": "trip", "reason": "r", "except": ["one"]}),
        call("PUT", "/policies/lever", {"stopped": True, "reason": "r", "dry_run": True}),
        call(
            "POST",
            "/overrides/release",
            {"match": {"service": "orders"}, "reason": "r", "planned": True},
        ),
        call("PUT", f"{path}/override", FORCE | {"excepted": ["one"]}),
        call("PUT", "/environments/prod", {"Guard": {"max_forced_percent": 50}}),
        call("PUT", "/environments/prod", {"guard": None, "max_forced_percent": 50}),
    ]

    assert {status for status, _ in refused} == {422}
    assert not Override.objects.exists()
    assert not Command.objects.exists()


def test_what_nobody_knows_is_passed_over() -> None:
    breaker, call = make_breaker(), Caller()
    trip = {"command": "trip", "reason": "r", "ticket": "OPS-7"}

    call.post(f"/breakers/{breaker.pk}/commands", trip, status=202)
    nothing = {"Instances": None, "dryRun": False, "excepted": []}
    made = call.post("/overrides", MANY | {"ticket": "OPS-7", "of": {"a": ["b"]}} | nothing)

    assert [one["id"] for one in made["breakers"]] == [str(breaker.pk)]


def test_a_command_for_instances_in_another_spelling_reaches_none() -> None:
    call = Caller()
    trip = {"command": "trip", "reason": "r", "instance": ["one"], "breakglass": "x"}

    refused = call.post(f"/breakers/{make_breaker().pk}/commands", trip, status=422)

    assert [error["loc"] for error in refused["errors"]] == [["instance"], ["breakglass"]]
    assert not Command.objects.exists()
