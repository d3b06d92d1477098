"""uvicorn's protocols: answers that go out in one piece, heads that have a bound; WebSockets that end also where the peer
reads nothing, take frames that are bytes already, and take in what came a piece at a time; and with both an application
that hears of the server's end before its connections do."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from breakers.asgi import WRITE_NOW
from breakers.closing import OVERLOADED
from breakers.flood import Flood
from dashboard.crowd import TurnedAway, connections_max

LINGERS_S = 12.0
"""For what is still to be read, and the two seconds beyond the ten that uvicorn waits for a close to be answered."""
HEAD_MAX = 64 * 1024
"""Bytes of a request's head, or of what follows a body in chunks. The parser keeps what is incomplete, without a bound."""
HEAD_WITHIN_S = 15.0
"""For the whole head of a request, from the connection or from what comes after an answer."""
_REFUSED_LINGERS_S = 3.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
PIECE = 4096
"""Bytes that a WebSocket takes in at once: some seven hundred frames at most, and milliseconds."""
_LIGHT_BELOW = 32
ENDING = "ending"
"""Under this name the lifespan's state has what is to be called once the server begins to end."""


def _tell_of_the_end(state: dict[str, Any]) -> None:
    end = state.get(ENDING)
    if end is not None:
        end()


class _Whole:
    """A transport that keeps an answer's head until its body begins. uvicorn writes them by themselves: two calls of
    the system, and two packets, of which the first wakes a reader who can do nothing yet."""

    _HEADS = tuple(b"HTTP/1.1 %d" % hundreds for hundreds in range(2, 6))

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._kept = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._kept and data.startswith(self._HEADS):
            self._kept = data
            return
        whole, self._kept = self._kept + data, b""
        # Who asked for several answers may have gone before the last.
        if not self.is_closing():
            self._transport.write(whole)

    def flush(self) -> None:
        """What has no body, or fails before its first part."""
        if self._kept:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn lets calls finish before the application hears of the end; one that waits must hear at once."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= connections_max():
            TurnedAway().connection_made(transport)
            return
        super().connection_made(transport)
        self._whole = _Whole(transport)
        self._kept = 0
        """Bytes that have come since the parser gave a head or a part of a body, at least."""
        self._refused = False
        self._waiting: asyncio.TimerHandle | None = None
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._kept += len(data)
        super().data_received(data)
        if self._kept > HEAD_MAX and not self._refused:
            self._refuse()
        # uvicorn has ended its own time-out with the first byte. A request that came whole is being answered by now,
        # and costs no timer.
        if (
            self._waiting is None
            and (self.cycle is None or self.cycle.response_complete)
            and self.transport.get_protocol() is self  # it is no WebSocket now
        ):
            self._wait()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_WITHIN_S, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def on_headers_complete(self) -> None:
        self._wait_no_more()
        kept, self._kept = self._kept, 0
        # What has come may be more than the head.
        if kept > HEAD_MAX and self._head_size() > HEAD_MAX:
            self._refuse()
            raise ValueError("too large a head")  # by which the parser ends
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._kept = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._kept = 0
        super().on_message_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self) -> None:
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # in the midst of another answer nothing can be said
            return
        self.transport.write(_TOO_LARGE)
        # To close on unread bytes would reset the connection, and the caller would not read why.
        self.transport.write_eof()
        self.loop.call_later(_REFUSED_LINGERS_S, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            super().send_400_response(msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.transport = cast("asyncio.Transport", self._whole)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._whole.flush()
        super().on_response_complete()

    def shutdown(self) -> None:
        _tell_of_the_end(self.app_state)
        super().shutdown()


def _is_light(event: Event) -> bool:
    """Whether it is a frame that brings the application no nearer to a message, or hardly."""
    return isinstance(event, Frame) and (
        event.opcode in (Opcode.PING, Opcode.PONG)
        or (len(event.data) < _LIGHT_BELOW and not event.fin)
    )


class SocketProtocol(WebSocketsSansIOProtocol):
    """A transport closes only once its buffer is empty: a peer that never reads would keep it for ever. And who ended
    a conversation is not seen from its end: an agent that goes may say 1012 too."""

    _unread = memoryview(b"")
    """Of what was read, the part for which there was no turn yet. While there is any, nothing more is read."""
    _pong = b""
    """Owed to a peer that does not read: to the latest of its pings alone, as RFC 6455 (5.5.3) allows."""

    def shutdown(self) -> None:
        _tell_of_the_end(self.app_state)
        super().shutdown()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._flood = Flood()

    def data_received(self, data: bytes) -> None:
        self._unread = memoryview(bytes(self._unread) + data)
        self._feed()

    def _feed(self) -> None:
        """A piece; the rest in a later turn, once a message that ends in it was received. One read may be forty
        thousand frames, for which all others would wait, be they messages or parts of a single one."""
        if self._unread and not self._has_more and not self.transport.is_closing():
            piece, self._unread = self._unread[:PIECE], self._unread[PIECE:]
            super().data_received(bytes(piece))
            if self._unread and not self._has_more:
                self.loop.call_soon(self._feed)
        self._pause(bool(self._unread) or self._has_more)

    @property
    def _has_more(self) -> bool:
        """Whether there is something to be received; once closed, nobody receives any more."""
        return not self.close_sent and not self.queue.empty()

    def _pause(self, paused: bool) -> None:
        if paused != self.read_paused and not self.transport.is_closing():
            self.read_paused = paused
            (self.transport.pause_reading if paused else self.transport.resume_reading)()

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        if self._unread:
            self._pause(True)
            if self.queue.empty():
                self.loop.call_soon(self._feed)
        return message

    def connection_lost(self, exc: Exception | None) -> None:
        rest, self._unread = self._unread, self._unread[:0]
        if rest and self.conn.close_sent is None:
            super().data_received(bytes(rest))  # what was said is heard
        super().connection_lost(exc)

    def handle_events(self) -> None:
        light = sum(map(_is_light, self.conn.events))
        if light and self.handshake_complete and self._flood.is_more(light, now=self.loop.time()):
            self.conn.events.clear()
            self.conn.fail(OVERLOADED, "too many frames")
            self.handle_parser_exception()
            self.disconnected = True
        super().handle_events()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            self._pong = [self._pong, *self.conn.data_to_send()][-1]

    def resume_writing(self) -> None:
        super().resume_writing()
        pong, self._pong = self._pong, b""
        if pong and not self.close_sent and not self.transport.is_closing():
            self.transport.write(pong)

    async def run_asgi(self) -> None:
        cast("dict[str, Any]", self.scope["extensions"])[WRITE_NOW] = self.write_now
        await super().run_asgi()
        self._feed()  # the peer's own close may be in it
        self.loop.call_later(LINGERS_S, self.transport.abort)

    def write_now(self, frame: bytes) -> bool:
        """Writes a whole frame, encoded once for many sockets. False, and nothing is written, where this one is
        not accepted yet, has unread frames waiting, or is closing: then `send` waits or says so."""
        if (
            not self.handshake_complete
            or self.close_sent
            or self.disconnected
            or not self.writable.is_set()
            or self.transport.is_closing()
        ):
            return False
        self.transport.write(frame)
        return True
