"""What a web process runs beside Django: joined here, started and stopped with the server."""

from __future__ import annotations

import asyncio
from typing import Any

from breakers.agents.app import AgentApp
from breakers.agents.hub import AgentHub
from breakers.agents.liveness import Liveness
from breakers.agents.longpoll import TURNS, AppliedApp, DesiredApp
from breakers.agents.waiting import Waiting
from breakers.bodies import Bodies
from breakers.db import make_pool
from breakers.ingest.app import IngestApp
from breakers.ingest.effects import Effects
from breakers.ingest.otlp.app import LogsApp, MetricsApp
from breakers.ingest.pace import Pace
from breakers.ingest.queue import Writer
from breakers.keyring import Keyring
from breakers.live.bus import Bus
from breakers.live.hub import Hub
from breakers.live.rights import Rights
from breakers.wake import wake_evaluation


class Runtime:
    """One of each; made inside the event loop that runs it."""

    def __init__(self) -> None:
        self.pool = make_pool(size=6)
        self.writing = make_pool(size=2, prepares=False)
        self.bus = Bus()
        self.keyring = Keyring(self.pool)
        self.writer = Writer(self.writing, committed=self._committed)
        self.rights = Rights(pool=self.pool, keyring=self.keyring)
        self.hub = Hub(pool=self.pool, bus=self.bus)
        self.agents = AgentHub(pool=self.pool, bus=self.bus, writer=self.writer)
        self.waiting = Waiting(pool=self.pool, bus=self.bus, hub=self.agents, rights=self.rights)
        self.liveness = Liveness(pool=self.pool, writer=self.writer)
        pace = Pace()
        taking: dict[str, Any] = {
            "keyring": self.keyring,
            "writer": self.writer,
            "pace": pace,
            "bodies": Bodies(),
        }
        self.ingest_app = IngestApp(**taking)
        self.otlp_logs_app = LogsApp(**taking)
        self.otlp_metrics_app = MetricsApp(**taking, pool=self.pool)
        self.agent_app = AgentApp(
            keyring=self.keyring,
            writer=self.writer,
            pace=pace,
            hub=self.agents,
            rights=self.rights,
        )

        shared = {
            "keyring": self.keyring,
            "pace": pace,
            "pool": self.pool,
            "turns": asyncio.Semaphore(TURNS),
        }
        self.desired_app = DesiredApp(hub=self.agents, waiting=self.waiting, **shared)
        self.applied_app = AppliedApp(writer=self.writer, bus=self.bus, **shared)

    async def _committed(self, effects: Effects) -> None:
        if effects.changed:
            self.bus.say("changed", breakers=sorted(effects.changed))
        if effects.wished:
            self.bus.say("desired", services=sorted(effects.wished))
        if effects.judged:
            wake_evaluation()

    async def start(self) -> None:
        """Starts without waiting for anything: a part that is away is waited for by who needs it."""
        await self.pool.open(wait=False)
        await self.writing.open(wait=False)
        self.bus.start()
        self.writer.start()
        self.rights.start()
        self.hub.start()
        self.agents.start()
        self.waiting.start()
        self.liveness.start()

    def begin_to_end(self) -> None:
        """The server stops, and is about to close its sockets; may be called for each of them."""
        self.agents.is_ending = True
        self.waiting.end_all()

    async def stop(self) -> None:
        """In reverse; what was taken in is still committed."""
        await self.liveness.stop()
        await self.waiting.stop()
        await self.agents.stop()
        await self.hub.stop()
        await self.rights.stop()
        await self.writer.stop()
        await self.bus.stop()
        await self.writing.close(timeout=5)
        await self.pool.close(timeout=5)
