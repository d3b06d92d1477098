"""`/agent/v1`, as a bare ASGI application: a Channels consumer would hop to a thread on each frame."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from datetime import UTC, datetime

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from breakers import asgi
from breakers.access import Actor
from breakers.agents.hub import HEARTBEAT_S, AgentHub, AgentSocket
from breakers.agents.session import EventBatch, Session
from breakers.closing import (
    FORBIDDEN,
    NO_HELLO,
    NOT_UNDERSTOOD,
    OVERLOADED,
    TAKEN,
    UNAUTHENTICATED,
    Close,
    close_socket,
    converse,
    tell,
)
from breakers.errors import Overloaded, Unauthenticated
from breakers.flood import Flood
from breakers.ingest.bounds import BeyondBound
from breakers.ingest.jobs import (
    Batch,
    Disconnect,
    Introduce,
    Introduced,
    Outcome,
    Refused,
    Report,
    Retire,
    Stored,
)
from breakers.ingest.pace import Pace
from breakers.ingest.queue import Writer
from breakers.keyring import Keyring
from breakers.keys import key_hash
from breakers.live.rights import Credential, Rights
from breakers.models import Scope
from breakers.origins import origin_is_ours
from breakers.wire import (
    Ack,
    Applied,
    Goodbye,
    Hello,
    Ping,
    Pong,
    RejectedEvent,
    WrongField,
)

_log = structlog.get_logger(__name__)
HELLO_WITHIN_S = 10
_SEND_WITHIN_S = 15
# Frames of one agent that may wait for their commit; then its next one waits in the socket.
_FRAMES_MAX = 16
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError, Overloaded)


class AgentApp:
    """Accepts, authenticates, and carries frames between socket, session, writer and hub."""

    def __init__(
        self, *, keyring: Keyring, writer: Writer, pace: Pace, hub: AgentHub, rights: Rights
    ) -> None:
        self._keyring = keyring
        self._writer = writer
        self._pace = pace
        self._hub = hub
        self._rights = rights

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        if not origin_is_ours(scope):
            await send({"type": "websocket.close", "code": 1008})  # before the accept: HTTP 403
            return
        await send({"type": "websocket.accept"})
        conversation: _Conversation | None = None
        try:
            conversation = _Conversation(self, await self._actor(scope), scope, receive, send)
            await conversation.run()
        except Close as close:
            await close_socket(send, close)
        except Overloaded as problem:
            await close_socket(send, Close(OVERLOADED, problem.detail))
        except _AWAY as problem:
            _log.warning("agent turned away", error=str(problem).strip())
            await close_socket(send, Close(OVERLOADED, "the database does not answer"))
        finally:
            if conversation is not None:
                await conversation.let_go()

    async def _actor(self, scope: asgi.Scope) -> Actor:
        try:
            actor = await self._keyring.actor_of(scope)
        except Unauthenticated as problem:
            raise Close(UNAUTHENTICATED, problem.detail) from problem
        if Scope.AGENT not in actor.can:
            raise Close(FORBIDDEN, "this key lacks the scope “agent”")
        return actor


class _Conversation:
    """One accepted socket, from hello to its end."""

    def __init__(
        self,
        app: AgentApp,
        actor: Actor,
        scope: asgi.Scope,
        receive: asgi.Receive,
        send: asgi.Send,
    ) -> None:
        self._writer = app._writer
        self._pace = app._pace
        self._hub = app._hub
        self._rights = app._rights
        self._receive = receive
        self._send = send
        self._session = Session(id=uuid.uuid4(), actor=actor)
        self._socket = AgentSocket(self._session, asgi.write_now_of(scope))
        self._room = asyncio.Semaphore(_FRAMES_MAX)
        self._pings = Flood()
        self._acks: set[asyncio.Future[None]] = set()
        self._reports: set[asyncio.Future[None]] = set()
        """Of them, those of `applied`."""
        self._gone = asyncio.Event()
        """The agent, of whom something may be left to be read."""
        self._introducing: asyncio.Future[Introduced | None] | None = None
        _, _, key = (asgi.header(scope, b"authorization") or "").partition(" ")
        self._credential = Credential(
            actor=actor,
            key_hash=key_hash(key.strip()),
            revoke=lambda: self._socket.close(Close(UNAUTHENTICATED, "the key was revoked")),
        )

    async def run(self) -> None:
        """Raises Close where the server ends it; returns where the agent has gone."""
        # Held from the first moment: a key may be revoked before its agent has said a word.
        self._rights.hold(self._credential)
        try:
            await converse(
                self._read(),
                self._tell(),
                ended=self._socket.ended,
                hears_out=True,
            )
        finally:
            self._rights.release(self._credential)
            self._hub.leave(self._socket)

    async def let_go(self) -> None:
        """Lets what was said be committed, and notes that nobody speaks for the instance any more, if this session
        did."""
        await self._said_is_stored()
        if self._introducing is not None:
            # A hello that was cut short by the end is committed all the same.
            with contextlib.suppress(BeyondBound, *_AWAY):
                self._session.introduced = await self._introducing or self._session.introduced
        introduced = self._session.introduced
        if introduced is None:
            return
        if self._hub.is_ending:
            return  # we end its socket, and it is as well as before: if it does not come back, its silence tells
        job = Disconnect(
            instance_id=introduced.instance_id,
            session=self._session.id,
            breakers=len(introduced.breaker_ids),
        )
        with contextlib.suppress(*_AWAY):  # then its silence tells
            await self._writer.commit_aside(job)

    async def _frame(self) -> str | None:
        """The next text frame, or None at the end."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return None
        text = message.get("text")
        if text is None:
            raise Close(NOT_UNDERSTOOD, "send text frames")
        return str(text)

    async def _tell(self) -> None:
        await tell(self._socket.next, self._send, within_s=_SEND_WITHIN_S)
        self._gone.set()

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(HELLO_WITHIN_S):
                text = await self._frame()
        except TimeoutError as problem:
            raise Close(NO_HELLO, "no hello within 10 s") from problem
        while text is not None:
            self._socket.heard = True
            self._socket.heard_at = time.monotonic()
            await self._handle(text)
            text = await self._frame()

    async def _handle(self, text: str) -> None:
        now, at = datetime.now(UTC), time.monotonic()
        effect = self._session.receive(text, now=now)
        match effect:
            case Hello():
                self._socket.clock.sent(effect.sent_at, now=now, at=at)
                await self._greet(effect)
            case EventBatch():
                self._socket.clock.happened(effect.newest, now=now, at=at)
                await self._store(effect)
            case Applied():
                await self._report(effect)
            case Ping():
                if self._pings.is_more(1, now=at):
                    raise Close(OVERLOADED, "too many pings")
                self._socket.clock.sent(effect.sent_at, now=now, at=at)
                self._socket.owe(Pong())
            case Goodbye():
                await self._retire()

    async def _greet(self, hello: Hello) -> None:
        self._hub.leave(self._socket)
        job = Introduce(
            hello=hello,
            environment=self._session.environment,
            session=self._session.id,
            connected=True,
            again=self._session.introduced is not None,
            by=self._session.actor,
        )
        self._introducing = asyncio.create_task(self._writer.commit_aside(job), name="hello")
        try:
            introduced = await asyncio.shield(self._introducing)
        except BeyondBound as beyond:
            raise Close(FORBIDDEN, str(beyond)) from beyond
        if introduced is None:
            raise Close(TAKEN, "this instance is connected elsewhere")
        self._session.introduced = introduced
        await self._hub.join(self._socket)

    async def _store(self, batch: EventBatch) -> None:
        # A group judges its events first. What was applied before these happened must not be taken for what came last.
        if self._reports:
            await asyncio.wait(self._reports)
        await self._room.acquire()
        waiting = self._writer.submit(Batch(events=batch.events, by=self._session.actor))
        task = asyncio.create_task(self._ack(batch, waiting), name="agent ack")
        self._acks.add(task)
        task.add_done_callback(self._acks.discard)
        events = len(batch.events) + len(batch.rejected)
        await self._rest(self._pace.owe(self._session.actor, events, now=time.monotonic()))

    async def _rest(self, seconds: float) -> None:
        """Reads nothing meanwhile, and lets neither side take the other for gone that is not: its pongs tell."""
        if seconds:
            self._socket.clock.forget()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, HEARTBEAT_S)):
                    await self._gone.wait()
                return
            self._socket.heard = True
            self._socket.heard_at = time.monotonic()
            if left > HEARTBEAT_S:
                self._socket.owe(Pong())

    async def _ack(self, batch: EventBatch, waiting: asyncio.Future[list[Outcome]]) -> None:
        try:
            outcomes = await waiting
        except Overloaded as problem:
            self._socket.close(Close(OVERLOADED, problem.detail))
            return
        finally:
            self._room.release()
        for index, outcome in zip(batch.indexes, outcomes, strict=True):
            if isinstance(outcome, Refused):
                batch.rejected[index] = outcome.errors
        self._socket.owe(
            Ack(
                batch=batch.number,
                accepted=sum(outcome is Stored.ACCEPTED for outcome in outcomes),
                duplicates=sum(outcome is Stored.DUPLICATE for outcome in outcomes),
                rejected=[
                    RejectedEvent(index, [WrongField(list(e.loc), e.msg) for e in errors])
                    for index, errors in sorted(batch.rejected.items())
                ],
            )
        )

    async def _report(self, applied: Applied) -> None:
        introduced = self._session.introduced
        assert introduced is not None
        breaker = introduced.breaker_ids.get(applied.breaker)
        if breaker is None:
            return  # of a breaker that its hello did not name: nothing was wished of it here
        job = Report(
            service_id=introduced.service_id,
            instance_id=introduced.instance_id,
            session=self._session.id,
            breaker_id=breaker,
            applied=applied,
        )
        await self._room.acquire()
        # A callback and no task: a whole fleet answers at once, and has its answer at once.
        waiting = self._writer.submit(job)
        self._acks.add(waiting)
        self._reports.add(waiting)
        waiting.add_done_callback(self._reported)
        await self._rest(self._pace.owe(self._session.actor, 1, now=time.monotonic()))

    def _reported(self, waiting: asyncio.Future[None]) -> None:
        self._acks.discard(waiting)
        self._reports.discard(waiting)
        self._room.release()
        problem = None if waiting.cancelled() else waiting.exception()
        if isinstance(problem, Overloaded):
            # The next hello says what is applied.
            self._socket.close(Close(OVERLOADED, problem.detail))
        elif problem is not None:
            raise problem

    async def _retire(self) -> None:
        introduced = self._session.introduced
        assert introduced is not None
        await self._said_is_stored()
        await self._writer.commit_aside(
            Retire(
                instance_id=introduced.instance_id,
                session=self._session.id,
                breakers=len(introduced.breaker_ids),
            )
        )
        raise Close(1000, "goodbye")

    async def _said_is_stored(self) -> None:
        """Or refused. Who waits may be cancelled; what was said is not."""
        if self._acks:
            await asyncio.wait(self._acks)
