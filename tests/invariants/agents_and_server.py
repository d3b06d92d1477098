"""The parts of the state machine of I5 and I6: the real server without its network, and agents on the SDK's decisions."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from panelboard_client import wire
from panelboard_client.desired import Standing, Step
from panelboard_client.wire import Applied, Order, Welcome

from breakers.access import Actor
from breakers.agents.app import AgentApp, _Conversation
from breakers.agents.hub import AgentHub
from breakers.agents.longpoll import TURNS, AppliedApp, DesiredApp
from breakers.agents.waiting import Waiting
from breakers.live.bus import Bus
from breakers.runtime import Runtime

ENVIRONMENT = "i5"
SOCKETS, POLLER = ("a", "b"), "c"
NAMES = (*SOCKETS, POLLER)
Frame = dict[str, Any]


class Server:
    """The real parts of a web process, with its loops left out: whoever plays takes their steps."""

    def __init__(self, runtime: Runtime, key: str, actor: Actor) -> None:
        self.runtime = runtime
        self.key = key
        self.actor = actor
        self.begin()

    def begin(self) -> None:
        """A process that remembers nothing of the sockets before it."""
        runtime = self.runtime
        bus = Bus()
        shared = {
            "keyring": runtime.keyring,
            "pace": _Unpaced(),
            "pool": runtime.pool,
            "turns": asyncio.Semaphore(TURNS),
        }
        self.hub = AgentHub(pool=runtime.pool, bus=bus, writer=runtime.writer)
        waiting = Waiting(pool=runtime.pool, bus=bus, hub=self.hub, rights=runtime.rights)
        self.app = AgentApp(
            keyring=runtime.keyring,
            writer=runtime.writer,
            pace=_Unpaced(),  # type: ignore[arg-type]
            hub=self.hub,
            rights=runtime.rights,
        )
        self.desired = DesiredApp(hub=self.hub, waiting=waiting, **shared)
        self.applied = AppliedApp(writer=runtime.writer, bus=bus, **shared)

    async def converse(self) -> _Conversation:
        scope = {"type": "websocket", "headers": self._headers}
        return _Conversation(self.app, self.actor, scope, _never, _unheard)

    async def call(self, app: Any, method: str, query: str = "", body: Any = None) -> Frame:
        """An HTTP call, whole; what it answers."""
        said = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
        told: list[Frame] = []

        async def receive() -> Frame:
            return said.pop() if said else await _never()

        async def send(message: Frame) -> None:
            told.append(message)

        scope = {"type": "http", "method": method, "query_string": query.encode()}
        await app(scope | {"headers": self._headers}, receive, send)
        assert told[0]["status"] == 200, told
        return dict(json.loads(told[1]["body"]))

    @property
    def _headers(self) -> list[tuple[bytes, bytes]]:
        bearer = f"Bearer {self.key}".encode()
        return [(b"authorization", bearer), (b"content-type", b"application/json")]


class _Unpaced:
    """Time is not the wall's here, so no key is too fast."""

    def owe(self, *_: Any, **__: Any) -> float:
        return 0.0

    take = owe


async def _never() -> Any:
    await asyncio.Event().wait()


async def _unheard(message: Any) -> None:
    pass


class Link:
    """A socket: both of its ends, and what is in flight between them."""

    def __init__(self, conversation: _Conversation) -> None:
        self.conversation = conversation
        self.to_agent: list[str] = []
        self.to_server: list[str] = []
        self.told: dict[str, int] = {}
        """The last revision that the server sent on it, by breaker."""

    def drain(self) -> None:
        """What the server sent is in flight; no revision after a higher one, but a welcome's repeats."""
        owed = self.conversation._socket._owed
        while owed:
            text = owed.popleft()
            frame = json.loads(text)
            is_welcome = frame["type"] == "welcome"
            for desired in frame["desired"] if is_welcome else [frame]:
                last = self.told.get(desired["breaker"], 0)
                assert desired["revision"] > last - is_welcome
                self.told[desired["breaker"]] = desired["revision"]
            self.to_agent.append(text)


class Agent:
    """The SDK's decisions over a library of words. Its clock is its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = 1000.0
        self.boots = itertools.count(1)
        self.connections = 0
        self.link: Link | None = None
        self.cursor: str | None = None
        self.begin()

    def begin(self) -> None:
        """A process that remembers nothing."""
        self.boot = f"{self.name}{next(self.boots)}"
        self.standing = Standing()
        self.natural = "closed"
        self.put_into_effect: list[int] = []
        self.ends_at = float("inf")
        self.ran: list[str] = []
        self.heard: list[str] = []
        self.cursor = None

    def hello(self, service: str) -> Frame:
        text = wire.hello(
            service=service,
            environment=ENVIRONMENT,
            instance=self.name,
            boot=self.boot,
            connection=self.connections,
            labels={},
            breakers=[
                {
                    "breaker": "x",
                    "state": self.state,
                    "natural_state": self.natural,
                    "applied_revision": self.standing.applied or 0,
                }
            ],
        )
        return dict(json.loads(text))

    @property
    def state(self) -> str:
        return self.standing.mode or self.natural

    def hear(self, text: str) -> list[str]:
        """Obeys a frame; its answers."""
        self.heard.append(text)
        frame = wire.parse(text)
        orders = frame.desired if isinstance(frame, Welcome) else [frame]
        return [self._obey(order) for order in orders if isinstance(order, Order)]

    def _obey(self, order: Order) -> str:
        if self.standing.receive(order, self.clock) is Step.CONVERGE:
            self.put_into_effect.append(order.revision)
            left = order.expires_in
            self.ends_at = float("inf") if left is None else self.clock + left
            waiting = self.standing.waiting
            if waiting is not None:
                self.ran.append(waiting.id)
                self.natural = {"trip": "open", "reset": "closed"}[waiting.command]
                self.standing.ran(waiting.id)
            self.standing.settle(None)
        revision = self.standing.answerable()
        assert revision is not None
        return wire.applied(Applied("x", revision, self.standing.error, self.state, self.natural))
