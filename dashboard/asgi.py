"""The server's entrance: the bare applications by path, everything else Django's."""

from __future__ import annotations

import asyncio
import gc
import os

import structlog

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

from django.core.asgi import get_asgi_application
from django.urls import get_resolver

django = get_asgi_application()

import dashboard.celery  # noqa: F401 - the current app, by which work is woken
from breakers.asgi import Receive, Scope, Send
from breakers.loops import cancel
from breakers.runtime import Runtime
from dashboard.bodies import bounded
from dashboard.garbage import collect_now_and_then, collect_rarely
from dashboard.health import healthz, readyz
from dashboard.live.app import watch
from dashboard.metrics import metrics
from dashboard.pages.files import PREFIX, static_files
from dashboard.postgresql.base import Connection
from dashboard.sockets import ENDING

_log = structlog.get_logger(__name__)
_BARE = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


class Entrance:
    """Starts what runs beside Django with the server, and hands each connection to whom it is for."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._django = bounded(django)  # type: ignore[arg-type]  # Django's send is narrower

    @property
    def runtime(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError("the server must send the lifespan events")
        return self._runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "websocket":
            if path == "/agent/v1":
                await self.runtime.agent_app(scope, receive, send)
            elif path == "/live/v1":
                await watch(self.runtime, scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
        elif path.startswith(PREFIX):
            await static_files(scope, receive, send)
        elif path in _BARE:
            await _BARE[path](scope, receive, send)
        elif path == "/api/v1/events":
            await self.runtime.ingest_app(scope, receive, send)
        elif path == "/api/v1/agent/desired":
            await self.runtime.desired_app(scope, receive, send)
        elif path == "/api/v1/agent/applied":
            await self.runtime.applied_app(scope, receive, send)
        elif path == "/v1/logs":
            await self.runtime.otlp_logs_app(scope, receive, send)
        elif path == "/v1/metrics":
            await self.runtime.otlp_metrics_app(scope, receive, send)
        else:
            await self._django(dict(scope), receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._runtime = Runtime()
                await self._runtime.start()
                scope.get("state", {})[ENDING] = self._runtime.begin_to_end
                _load_pages()
                _settle_memory()
                collecting = asyncio.create_task(collect_now_and_then())
                Connection.gives_up = True
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await cancel([collecting])
                if self._runtime is not None:
                    await self._runtime.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _load_pages() -> None:
    """Pages and API are loaded by the first path that is resolved: the first override after a start would wait
    some 200 ms for that, and so would every agent of the process."""
    _ = get_resolver().url_patterns


def _settle_memory() -> None:
    """What is loaded by now is never looked through again. With `--workers`, or under another server, the process
    did not begin with manage.py."""
    gc.collect()
    gc.freeze()
    collect_rarely()


application = Entrance()
