"""Agents that are cut off from the panel for longer than either side waits (three heartbeats, 30 s): what is wished
meanwhile is said not to be applied, arrives once it can, and neither sticks nor flaps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.faults.control import Hand
from tests.support.eventually import eventually
from tests.support.guarded import Guarded
from tests.support.proxy import Proxy
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("faults")

CONNECTED_WITHIN_S = 30
SILENT_WITHIN_S = 50
"""Three heartbeats, and the second or two in which either side looks."""
RIGHT_WITHIN_S = 30


@dataclass
class Service:
    """A service of one instance, with its way to the panel and a hand on its breaker."""

    process: Guarded
    way: Proxy
    hand: Hand

    @property
    def outcomes(self) -> list[str]:
        return self.process.outcomes["catalog"]


@pytest.fixture
def services(broken_stack: Stack) -> Iterator[dict[str, Service]]:
    """One for each way of being cut off, so that all can be cut off during the same half minute."""
    run = uuid4().hex[:6]
    made = {}
    with ExitStack() as last:
        for name in ("stopped", "deaf", "mute"):
            way = last.enter_context(Proxy(broken_stack.url))
            service = f"{name}-{run}"
            process = Guarded(broken_stack, service, "catalog", url=way.url)
            last.enter_context(process)
            made[name] = Service(process, way, Hand(broken_stack, service))
        for one in made.values():
            eventually(lambda: one.hand.is_put_right("closed", 0), within=CONNECTED_WITHIN_S)  # noqa: B023
        yield made


def test_an_override_reaches_whoever_was_stopped_or_cut_off_on_one_side_once_and_for_good(
    services: dict[str, Service],
) -> None:
    """Cut off for three heartbeats instead of a longer time: that is where both sides give a connection up, and no
    setting shortens it.

    One process is stopped. To another nothing comes through any more, and from a third one nothing, while their
    connections stay open.
    """
    stopped, deaf, mute = services["stopped"], services["deaf"], services["mute"]
    stopped.process.stop()
    deaf.way.hold("client")
    mute.way.hold("server")

    wished = {name: one.hand.force() for name, one in services.items()}
    # It obeys at once, and nobody hears that it does; then it is let go, and nobody hears that either.
    eventually(lambda: mute.outcomes == ["through", "refused"], within=RIGHT_WITHIN_S)
    wished["mute"] = mute.hand.release()
    eventually(lambda: mute.outcomes == ["through", "refused", "through"], within=RIGHT_WITHIN_S)

    for one in services.values():
        assert one.hand.instance()["applied_revision"] == 0
        assert one.hand.instance()["drift"]["kind"] == "behind"
    for one in (stopped, deaf):
        told = one.hand.summary()["override"]
        assert (told["applied"], told["pending"]) == (0, 1)
        assert one.outcomes == ["through"]

    # Each side notices by the other's silence: the panel that one does not speak, the agents that they hear nothing.
    eventually(lambda: stopped.hand.instance()["connected"] is False, within=SILENT_WITHIN_S)
    assert stopped.hand.summary()["override"]["pending"] == 1
    stopped.process.go_on()
    eventually(
        lambda: deaf.hand.is_put_right("forced_open", wished["deaf"]), within=SILENT_WITHIN_S
    )
    eventually(lambda: mute.hand.is_put_right("closed", wished["mute"]), within=SILENT_WITHIN_S)
    eventually(
        lambda: stopped.hand.is_put_right("forced_open", wished["stopped"]), within=RIGHT_WITHIN_S
    )

    # What was held up comes through after all, from connections that were given up: it changes nothing.
    for one in (deaf, mute):
        one.way.heal()
        eventually(lambda: one.way.connections == 1, within=RIGHT_WITHIN_S)  # noqa: B023
    assert mute.hand.is_put_right("closed", wished["mute"])
    assert deaf.hand.is_put_right("forced_open", wished["deaf"])

    for one in (stopped, deaf):
        released = one.hand.release()
        eventually(lambda: one.hand.is_put_right("closed", released), within=RIGHT_WITHIN_S)  # noqa: B023
    for one in services.values():
        assert one.outcomes == ["through", "refused", "through"]
        assert one.hand.history() == ["closed", "forced_open", "closed"]
