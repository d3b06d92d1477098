"""I5 and I6: whatever becomes of frames, sockets, processes and clocks, an override ends at its time, no instance
goes back to an older revision, and once it is quiet every instance is as is wished, and has said so.

Real: the server's conversation with each agent (`agents.app`, `session`, `hub`), the two calls of agents without a
socket as whole ASGI applications, the writer, PostgreSQL, the verbs that wish, and of the SDK its frames (`wire`) and
its decisions (`desired`). Modelled: the network, as frames in flight that are delivered late, twice, in any order,
or lost with their connection (one alone is never lost: TCP does not do that); the hub's and the clock's loops, which
are steps here, so that they can come late or not at all; the breaker library, which is a word; and time, by moving
what PostgreSQL holds of the future, while each agent has a clock of its own that may stand still for a while.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from breakers.access import actor_of_key
from breakers.agents.telling import Telling
from breakers.desired.command import command_breaker
from breakers.desired.expire import expire_due
from breakers.desired.override import OverrideWish, override_breaker, release_breaker
from breakers.models import Breaker, BreakerInstance
from breakers.runtime import Runtime
from breakers.states import Mode
from tests.invariants.agents_and_server import (
    ENVIRONMENT,
    NAMES,
    POLLER,
    SOCKETS,
    Agent,
    Link,
    Server,
)
from tests.support.make import make_actor, make_key

pytestmark = pytest.mark.django_db(transaction=True)
_numbers = itertools.count(1)


class AgentsAndServer(RuleBasedStateMachine):
    """Any interleaving of wishes, frames and faults; `quiet` at the end of each, and now and then within."""

    loop: asyncio.AbstractEventLoop
    server: Server

    @initialize()
    def begin(self) -> None:
        self.service = f"s{next(_numbers)}"
        self.server.begin()
        self.agents = {name: Agent(name) for name in NAMES}
        self.links: list[Link] = []
        """Those the server has, also where the agent has gone without a word."""
        self.truth: dict[int, tuple[str | None, set[str]]] = {0: (None, set())}
        """Revision -> mode, and the instances in its scope."""
        self.commands: dict[str, set[str]] = {}
        self.slow: list[Any] = []
        for agent in self.agents.values():
            self._say_hello(agent)
        self.breaker = Breaker.objects.get(service__name=self.service)

    # People, the clock, and the server's own steps.

    @rule(
        mode=st.sampled_from(list(Mode)),
        lasts=st.none() | st.sampled_from([5, 50]),
        only=st.none() | st.sets(st.sampled_from(NAMES), min_size=1),
        without=st.sets(st.sampled_from(NAMES), max_size=1),
        overtaken=st.booleans(),
        told=st.booleans(),
    )
    def override(
        self,
        mode: Mode,
        lasts: int | None,
        only: set[str] | None,
        without: set[str],
        overtaken: bool,
        told: bool,
    ) -> None:
        """A reading may have begun before it that will be told after it."""
        if overtaken:
            self.a_reading_begins()
        now = timezone.now()
        wish = OverrideWish(
            mode=mode,
            reason="it must be",
            expires_at=None if lasts is None else now + timedelta(seconds=lasts),
            instances=None if only is None else sorted(only),
            excepted=sorted(without),
        )
        made = override_breaker(self.breaker, wish=wish, by=make_actor(), now=now)
        scope = (set(NAMES) if only is None else only) - without
        self.truth[made.revision] = (str(mode), scope)
        if told:
            self.the_hub_tells()

    @precondition(lambda self: self._stands())
    @rule()
    def release(self) -> None:
        revision = release_breaker(self.breaker, reason="over", by=make_actor(), now=timezone.now())
        self.truth[revision] = (None, set())

    @rule(command=st.sampled_from(["trip", "reset"]), only=st.sets(st.sampled_from(NAMES)))
    def command(self, command: Any, only: set[str]) -> None:
        given = command_breaker(
            self.breaker,
            command=command,
            reason="now",
            by=make_actor(),
            now=timezone.now(),
            instances=sorted(only) or None,
        )
        self.commands[str(given.pk)] = only or set(NAMES)
        self.truth[given.revision] = self.truth[max(self.truth)]

    @rule(seconds=st.sampled_from([1, 5, 30]), asleep=st.sets(st.sampled_from(NAMES), max_size=1))
    def time_passes(self, seconds: int, asleep: set[str]) -> None:
        """For all but those who are suspended: their clocks stand still."""
        with connection.cursor() as cursor:
            for table in ("override", "command"):
                cursor.execute(
                    f'UPDATE "{table}" SET expires_at = expires_at - make_interval(secs => %s)'
                    " WHERE breaker_id = %s",
                    [seconds, self.breaker.pk],
                )
        for agent in self.agents.values():
            if agent.name not in asleep:
                agent.clock += seconds
                agent.standing.lapse(agent.clock)

    @rule()
    def the_server_ends_what_is_over(self) -> None:
        expire_due()
        self.breaker.refresh_from_db()
        if self.breaker.revision > max(self.truth):
            self.truth[self.breaker.revision] = (None, set())

    @rule()
    def the_hub_tells(self) -> None:
        self._run(self._tell())

    @rule()
    def a_reading_begins(self) -> None:
        self.slow.append(self._run(self.server.hub.read(self.breaker.service_id, after=0)))

    @precondition(lambda self: self.slow)
    @rule(pick=st.integers(0, 100))
    def a_slow_reading_is_told(self, pick: int) -> None:
        wishes = self.slow[pick % len(self.slow)]
        for link in self.links:
            link.conversation._socket.tell(Telling(wishes))
            link.drain()

    # The network.

    @precondition(lambda self: self._with_frames("to_agent"))
    @rule(who=st.integers(0, 1), pick=st.integers(0, 100), again=st.booleans())
    def a_frame_reaches_an_agent(self, who: int, pick: int, again: bool) -> None:
        """Any of those in flight; it may come again."""
        agents = self._with_frames("to_agent")
        agent = agents[who % len(agents)]
        assert agent.link is not None
        at = pick % len(agent.link.to_agent)
        text = agent.link.to_agent[at] if again else agent.link.to_agent.pop(at)
        agent.link.to_server += agent.hear(text)

    @precondition(lambda self: self._with_frames("to_server"))
    @rule(who=st.integers(0, 1), pick=st.integers(0, 100), again=st.booleans())
    def a_frame_reaches_the_server(self, who: int, pick: int, again: bool) -> None:
        agents = self._with_frames("to_server")
        link = agents[who % len(agents)].link
        assert link is not None
        at = pick % len(link.to_server)
        self._run(self._hear(link, link.to_server[at] if again else link.to_server.pop(at)))

    @rule(name=st.sampled_from(SOCKETS), noticed=st.booleans())
    def a_socket_breaks(self, name: str, noticed: bool) -> None:
        """What is in flight is lost; the server may believe for a while that it is still there."""
        agent = self.agents[name]
        if agent.link is not None and noticed:
            self._leave(agent.link)
        agent.link = None

    @rule(name=st.sampled_from(NAMES))
    def an_agent_says_hello(self, name: str) -> None:
        self._say_hello(self.agents[name])

    @rule(lost=st.booleans())
    def the_poller_asks(self, lost: bool) -> None:
        """The answer, or the poller's own, may be lost on its way."""
        self._ask(self.agents[POLLER], lost=lost)

    # Processes.

    @rule(name=st.sampled_from(NAMES))
    def an_agent_restarts(self, name: str) -> None:
        agent = self.agents[name]
        agent.link = None
        agent.begin()
        self._say_hello(agent)

    @rule()
    def the_server_restarts(self) -> None:
        """By kill -9: it tells nobody."""
        for agent in self.agents.values():
            agent.link = None
        self.links.clear()
        self.slow.clear()
        self.server.begin()

    # What must hold.

    @invariant()
    def no_instance_goes_back(self) -> None:
        for agent in self.agents.values():
            assert agent.put_into_effect == sorted(set(agent.put_into_effect))

    @invariant()
    def no_override_outlives_its_end(self) -> None:
        for agent in self.agents.values():
            assert agent.standing.mode is None or agent.clock < agent.ends_at

    @invariant()
    def no_instance_is_forced_but_by_a_wish_that_holds_it(self) -> None:
        for agent in self.agents.values():
            mode, scope = self.truth[agent.standing.applied or 0]
            assert agent.standing.mode in (None, mode if agent.name in scope else None)

    @invariant()
    def commands_run_once_and_where_they_were_given(self) -> None:
        for agent in self.agents.values():
            assert len(set(agent.ran)) == len(agent.ran)
            assert all(agent.name in self.commands[id] for id in agent.ran)

    @invariant()
    def the_panel_believes_no_more_than_was_wished(self) -> None:
        for inside in BreakerInstance.objects.filter(breaker=self.breaker):
            assert inside.applied_revision <= max(self.truth)

    @rule()
    def quiet(self) -> None:
        """Nothing more is wished and nothing fails: then all are as is wished, and have said so."""
        self.the_server_ends_what_is_over()
        for agent in self.agents.values():
            if agent.name != POLLER and agent.link is None:
                self._say_hello(agent)
        self._run(self._tell())
        for name in SOCKETS:
            link = self.agents[name].link
            assert link is not None
            while link.to_agent:
                link.to_server += self.agents[name].hear(link.to_agent.pop(0))
            while link.to_server:
                self._run(self._hear(link, link.to_server.pop(0)))
        self._ask(self.agents[POLLER], lost=False)
        self._all_agree()

    def teardown(self) -> None:
        if not hasattr(self, "breaker"):
            return
        self.quiet()
        self.command(command="trip", only=set())
        self.quiet()
        self.override(
            mode=Mode.FORCED_OPEN,
            lasts=50,
            only=None,
            without=set(),
            overtaken=True,
            told=True,
        )
        self.quiet()  # the revision brings the command again
        self.commands_run_once_and_where_they_were_given()
        self._nothing_heard_again_changes_anything()
        for link in list(self.links):
            self._leave(link)
        self._overrides_end_with_the_server_gone()

    def _nothing_heard_again_changes_anything(self) -> None:
        """Every frame that was ever heard comes once more, the oldest last; every slow reading too."""
        for wishes in self.slow:
            for link in self.links:
                link.conversation._socket.tell(Telling(wishes))
                link.drain()
        for agent in self.agents.values():
            before = (agent.standing.applied, agent.standing.mode, agent.natural, list(agent.ran))
            for text in reversed(list(agent.heard)):
                agent.hear(text)
            after = (agent.standing.applied, agent.standing.mode, agent.natural, list(agent.ran))
            assert after == before

    def _overrides_end_with_the_server_gone(self) -> None:
        for agent in self.agents.values():
            agent.clock += 60
            agent.standing.lapse(agent.clock)
        self.no_override_outlives_its_end()

    def _all_agree(self) -> None:
        self.breaker.refresh_from_db()
        revision = self.breaker.revision
        assert revision == max(self.truth)
        mode, scope = self.truth[revision]
        for agent in self.agents.values():
            if revision:
                assert agent.standing.applied == revision
            assert agent.standing.mode == (mode if agent.name in scope else None)
            inside = BreakerInstance.objects.get(breaker=self.breaker, instance__name=agent.name)
            assert inside.applied_revision == revision
            assert inside.state == agent.state

    # Steps.

    def _stands(self) -> bool:
        return bool(self.breaker.overrides.filter(ended_at=None).exists())

    def _with_frames(self, way: str) -> list[Agent]:
        found = [self.agents[name] for name in SOCKETS]
        return [agent for agent in found if agent.link is not None and getattr(agent.link, way)]

    def _run(self, step: Any) -> Any:
        return self.loop.run_until_complete(step)

    def _say_hello(self, agent: Agent) -> None:
        agent.connections += 1
        hello = agent.hello(self.service)
        if agent.name == POLLER:
            self._run(self.server.call(self.server.applied, "POST", body={"hello": hello}))
            return
        agent.link = Link(self._run(self.server.converse()))
        self.links.append(agent.link)
        self._run(self._hear(agent.link, json.dumps(hello)))

    def _ask(self, agent: Agent, *, lost: bool) -> None:
        asked = {"service": self.service, "environment": ENVIRONMENT, "instance": agent.name}
        asked |= {"boot": agent.boot, "wait": "0"} | (
            {"after": agent.cursor} if agent.cursor else {}
        )
        told = self._run(self.server.call(self.server.desired, "GET", urlencode(asked)))
        if lost:
            return
        agent.cursor = told["cursor"]
        answers = [answer for one in told["desired"] for answer in agent.hear(json.dumps(one))]
        body = {"hello": agent.hello(self.service), "applied": [json.loads(a) for a in answers]}
        stored = self._run(self.server.call(self.server.applied, "POST", body=body))
        assert stored["accepted"] == len(answers)

    async def _hear(self, link: Link, text: str) -> None:
        await link.conversation._handle(text)
        await asyncio.gather(*link.conversation._acks)
        # Whoever was taken over by this hello is closed, and so is what the agent no longer has.
        for other in list(self.links):
            if other.conversation._socket.ended.done():
                await self._let_go(other)
        link.drain()

    async def _tell(self) -> None:
        async with self.server.runtime.pool.connection() as reader:
            await self.server.hub._tell_service(reader, self.breaker.service_id)
        for link in self.links:
            link.drain()

    def _leave(self, link: Link) -> None:
        self._run(self._let_go(link))

    async def _let_go(self, link: Link) -> None:
        self.links.remove(link)
        self.server.hub.leave(link.conversation._socket)
        await link.conversation.let_go()
        for agent in self.agents.values():
            if agent.link is link:
                agent.link = None


@pytest.fixture
def running() -> Iterator[type[AgentsAndServer]]:
    """The machine, on a loop with the real parts."""
    row, key = make_key(name="agents", scopes=["agent"])
    loop = asyncio.new_event_loop()

    async def begin() -> Runtime:
        runtime = Runtime()
        await runtime.pool.open()
        await runtime.writing.open()
        runtime.writer.start()
        return runtime

    runtime = loop.run_until_complete(begin())

    class Running(AgentsAndServer):
        pass

    Running.loop = loop
    Running.server = Server(runtime, key, actor_of_key(row))
    yield Running
    loop.run_until_complete(runtime.writer.stop())
    loop.run_until_complete(runtime.writing.close(timeout=5))
    loop.run_until_complete(runtime.pool.close(timeout=5))
    loop.close()


def test_whatever_happens_no_agent_goes_back_and_all_agree_in_the_end(
    running: type[AgentsAndServer],
) -> None:
    run_state_machine_as_test(
        running,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
