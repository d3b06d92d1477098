"""uvicorn's WebSockets, which end also where the peer reads nothing."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGERS_S = 12.0
"""For what is still to be read, and the two seconds beyond the ten that uvicorn waits for a close to be answered."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """A transport closes only once its buffer is empty: a peer that never reads would keep it for ever."""

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(LINGERS_S, self.transport.abort)
