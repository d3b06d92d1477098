"""A policy in the running system, over services whose breakers are real: SDK, socket, worker, and back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import panelboard_client
import pybreaker
import pytest

from tests.support.eventually import eventually
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("live_stack")


class Orders:
    """One instance that calls `catalog` some twenty times a second, whatever comes of it."""

    def __init__(self, stack: Stack, service: str, name: str, sick: set[str]) -> None:
        self.name, self._sick = name, sick
        self.panel = panelboard_client.connect(
            url=stack.url, api_key=stack.key, service=service, environment="prod", instance=name
        )
        self.breaker = self.panel.watch(
            pybreaker.CircuitBreaker(fail_max=3, reset_timeout=0.5), name="catalog"
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._call_on)

    def start(self) -> None:
        self._thread.start()

    def _call_on(self) -> None:
        while not self._over.wait(0.05):
            try:
                self.breaker.call(self._catalog)
            except (pybreaker.CircuitBreakerError, ConnectionError):
                continue

    def _catalog(self) -> str:
        if self.name in self._sick:
            raise ConnectionError("catalog does not answer")
        return "ok"

    def is_refused_by_the_panel(self) -> bool:
        try:
            self.breaker.call(lambda: "through")
        except pybreaker.CircuitBreakerError as refused:
            return "Forced open by Panelboard" in str(refused)
        return False

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)
        self.panel.close()


class Fleet:
    """Four instances, the panel's view of their breaker, and a policy on it."""

    names = ("a", "b", "c", "d")

    def __init__(self, stack: Stack, **policy: Any) -> None:
        self.service = f"orders-{uuid4().hex[:8]}"
        self.sick: set[str] = set()
        self._stack = stack
        self.all = [Orders(stack, self.service, name, self.sick) for name in self.names]
        self.policy = self.call(
            "POST",
            "policies",
            {
                "name": self.service,
                "matchers": [f'service="{self.service}"'],
                "trip": {"percent": 75, "window": 30},
                "hold": 3,
                "probe": {"instances": 1, "successes": 2},
                **policy,
            },
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        with self._stack.client() as client:
            answer = client.request(method, f"/api/v1/{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def summary(self) -> Any:
        items = self.call("GET", f"breakers?service={self.service}")["items"]
        return items[0] if items else None

    def acts(self) -> list[tuple[str, str]]:
        entries = self.call("GET", "audit?limit=1000")["items"]
        mine = [
            (each["action"], each["reason"])
            for each in entries
            if each["actor"]["name"] == self.service and each["actor"]["kind"] == "policy"
        ]
        return list(reversed(mine))

    def is_calm(self) -> bool:
        seen = self.summary()
        return bool(
            seen and seen["states"] == {"closed": len(self.names)} and seen["override"] is None
        )


@contextmanager
def running(stack: Stack, **policy: Any) -> Iterator[Fleet]:
    fleet = Fleet(stack, **policy)
    try:
        for one in fleet.all:
            one.start()
        eventually(fleet.is_calm, within=30)
        yield fleet
    finally:
        for one in fleet.all:
            one.stop()
        fleet.call("DELETE", f"policies/{fleet.policy['id']}")


def test_a_dead_dependency_is_held_off_probed_and_given_back(live_stack: Stack):
    with running(live_stack) as fleet:
        # The fourth sees no failure of its own, and is held all the same.
        fleet.sick.update("abc")
        [healthy] = [one for one in fleet.all if one.name == "d"]
        eventually(healthy.is_refused_by_the_panel, within=30)
        held = fleet.summary()["override"]
        assert (held["mode"], held["by"]) == ("forced_open", fleet.service)
        assert held["expires_at"]

        # It is probed while the dependency is down, and held again for longer.
        eventually(lambda: any("opened again" in reason for _, reason in fleet.acts()), within=60)
        fleet.sick.clear()
        eventually(fleet.is_calm, within=90)

    first, *_, last = fleet.acts()
    assert first[0] == "override"
    assert "instances opened within 30 s" in first[1]
    assert last == ("release", "2 instances have recovered.")


def test_one_sick_node_trips_nobody_else(live_stack: Stack):
    with running(live_stack, trip={"percent": 50, "window": 30}) as fleet:
        fleet.sick.add("a")
        trips = 0

        def tripped_often() -> bool:
            nonlocal trips
            id = fleet.summary()["id"]
            events = fleet.call("GET", f"breakers/{id}/events?limit=200")["items"]
            trips = sum(each["to"] == "open" for each in events)
            return trips >= 5

        eventually(tripped_often, within=60)

        assert fleet.acts() == []
        assert fleet.summary()["states"].get("closed", 0) == 3


def test_with_the_panel_gone_each_follows_its_own_breaker_at_the_holds_end(
    make_stack: Callable[..., Stack],
):
    stack = make_stack()
    fleet = Fleet(stack)
    try:
        for one in fleet.all:
            one.start()
        eventually(fleet.is_calm, within=30)
        fleet.sick.update("abc")
        [healthy] = [one for one in fleet.all if one.name == "d"]
        eventually(healthy.is_refused_by_the_panel, within=30)

        stack.stop()

        assert healthy.is_refused_by_the_panel()
        eventually(lambda: not healthy.is_refused_by_the_panel(), within=60)
        assert healthy.breaker.current_state == "closed"
        fleet.sick.clear()
        eventually(
            lambda: all(one.breaker.current_state == "closed" for one in fleet.all), within=30
        )
    finally:
        for one in fleet.all:
            one.stop()


def test_the_lever_gives_the_fleet_back_at_once(live_stack: Stack):
    with running(live_stack, hold=600) as fleet:
        fleet.sick.update("abc")
        [healthy] = [one for one in fleet.all if one.name == "d"]
        eventually(healthy.is_refused_by_the_panel, within=30)

        fleet.call("PUT", "policies/lever", {"stopped": True, "reason": "a test of it"})
        try:
            eventually(lambda: not healthy.is_refused_by_the_panel(), within=10)
            assert fleet.summary()["override"] is None
        finally:
            fleet.sick.clear()
            eventually(fleet.is_calm, within=60)
            fleet.call("PUT", "policies/lever", {"stopped": False, "reason": "it is over"})
