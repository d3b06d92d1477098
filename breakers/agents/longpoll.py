"""`/api/v1/agent/…`: the agent protocol without a socket, as bare ASGI, for a call that waits half a minute must
not hold a thread for it. Why it is as it is: docs/decisions/0011."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

import psycopg
import structlog
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from breakers import asgi
from breakers.access import Actor
from breakers.agents.hub import HEARTBEAT_S, AgentHub
from breakers.agents.polled import Heard, Names, Place, Question, Said
from breakers.agents.session import warnings_of
from breakers.agents.waiting import Look, News, Outcome, Waiter, Waiting
from breakers.bodies import Bodies
from breakers.db import Pool
from breakers.desired.converge import owed, part_of
from breakers.errors import (
    CallError,
    Conflict,
    FieldError,
    Forbidden,
    NotFound,
    Overloaded,
    TooFast,
)
from breakers.ingest.bounds import BeyondBound
from breakers.ingest.endpoint import media_type, read_body
from breakers.ingest.jobs import Introduce, Report, Retire
from breakers.ingest.pace import Pace
from breakers.ingest.queue import Writer
from breakers.keyring import Keyring
from breakers.keys import key_hash
from breakers.live.bus import Bus
from breakers.models import Scope
from breakers.sql import statements
from breakers.wire import HelloWarning, RejectedEvent, WrongField

_log = structlog.get_logger(__name__)
_SQL = statements("longpoll")
_COMMIT_S = 20
# Half of the pool: a thousand pollers that come at once, as after a restart, must not keep hub and writer from it.
TURNS = 3
_TURN_WITHIN_S = 15
_NO_STORE = [(b"cache-control", b"no-store")]
_SAY_HELLO = (
    "This instance was lost, retired or removed, or breakers of it were: POST its whole hello to "
    "/api/v1/agent/applied, then ask without “after”."
)
_TAKEN = "This instance has said hello since under another boot, on a later connection, or by a socket; the newer stays."


class AgentEndpoint(ABC):
    """One call with the scope `agent`; a subclass says which, and what it answers."""

    method: ClassVar[str]

    def __init__(
        self, *, keyring: Keyring, pace: Pace, pool: Pool, turns: asyncio.Semaphore
    ) -> None:
        self._keyring = keyring
        self._pace = pace
        self._pool = pool
        self._turns = turns

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        try:
            if scope["method"] != self.method:
                raise asgi.MethodNotAllowed(self.method)
            actor = await self._keyring.actor_of(scope)
            if Scope.AGENT not in actor.can:
                raise Forbidden("This key lacks the scope “agent”.")
            told = await self._answer(actor, scope, receive)
        except asgi.Disconnected:
            return
        except CallError as problem:
            await asgi.answer_problem(send, problem)
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TimeoutError) as why:
            _log.warning("agent not answered", error=str(why).strip())
            away = Overloaded("The database does not answer.", retry_after=2)
            await asgi.answer_problem(send, away)
        else:
            await asgi.answer(send, 200, asgi.encode(told), headers=_NO_STORE)

    @abstractmethod
    async def _answer(
        self, actor: Actor, scope: asgi.Scope, receive: asgi.Receive
    ) -> Mapping[str, Any]:
        """For a caller who may. Raises CallError, Disconnected, and what the database raises."""

    def _admit(self, actor: Actor, names: Names, *, weight: int = 1) -> None:
        wait_s = self._pace.take(actor, weight, now=time.monotonic())
        if wait_s > 0:
            raise TooFast("This key sends more than it may.", retry_after=math.ceil(wait_s))
        if not actor.may_touch(environment=names.environment, service=names.service):
            raise NotFound("No such service.")

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Whose turn it is may use the pool, one after the other. Raises TimeoutError."""
        async with asyncio.timeout(_TURN_WITHIN_S):
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    async def _hear(self, names: Names, *, held_by: UUID | None) -> Heard | None:
        """Notes the call as a sign of life, unless somebody else speaks for the instance by now."""
        asked = {
            "environment": names.environment,
            "service": names.service,
            "instance": names.instance,
            "nobody": names.nobody,
            "held_by": held_by,
        }
        async with (
            self._turn(),
            self._pool.connection() as connection,
            connection.cursor(row_factory=dict_row) as rows,
        ):
            await rows.execute(_SQL["hear"], asked)
            row = await rows.fetchone()
        if row is None:
            return None
        breakers = row.pop("breakers")
        return Heard(**row, breakers=None if breakers is None else frozenset(breakers))


class DesiredApp(AgentEndpoint):
    """`GET agent/desired`: all that is wished; or what changed after a cursor, once something has."""

    method = "GET"

    def __init__(self, *, hub: AgentHub, waiting: Waiting, **shared: Any) -> None:
        super().__init__(**shared)
        self._hub = hub
        self._waiting = waiting

    async def _answer(
        self, actor: Actor, scope: asgi.Scope, receive: asgi.Receive
    ) -> Mapping[str, Any]:
        question = Question.read(scope["query_string"], actor)
        self._admit(actor, question.names)
        _, _, key = (asgi.header(scope, b"authorization") or "").partition(" ")
        until = time.monotonic() + question.wait_s
        async with _gone(receive) as gone:
            while True:
                heard = await self._hear(question.names, held_by=question.held_by)
                if heard is None:
                    raise NotFound("No such service.")
                if not heard.present or (question.after and question.after.knew_more(heard)):
                    raise NotFound(_SAY_HELLO)
                if heard.session not in (question.names.nobody, question.held_by or heard.session):
                    raise Conflict(_TAKEN)
                after = question.after
                if after is None or not after.holds(heard):
                    return await self._all(question.names, heard)
                waiter = Waiter(
                    instance_id=heard.id,
                    session=heard.session,
                    breakers=heard.breakers,
                    after=after.number,
                )
                with self._waiting.place(
                    waiter, service=heard.service_id, actor=actor, key=key_hash(key.strip())
                ):
                    # Listed first, read then: what commits between is found by one or the other.
                    async with self._turn():
                        waiter.read(await self._hub.read(heard.service_id, after=after.number))
                    outcome = await _first(waiter, gone, until)
                if isinstance(outcome, CallError):
                    raise outcome
                if outcome is not Look.AGAIN:
                    news = News((), until) if outcome is None else outcome
                    return await self._told(question.names, heard, news, after=after.number)

    async def _all(self, names: Names, heard: Heard) -> Mapping[str, Any]:
        async with self._turn():
            wishes = await self._hub.read(heard.service_id, after=0)
        mine = [
            wish for wish in wishes if heard.breakers is None or wish.breaker_id in heard.breakers
        ]
        # That number was read before the wishes: what commits between is told again, never missed.
        news = News(mine, time.monotonic())
        return await self._told(names, heard, news, after=heard.desired_number)

    async def _told(
        self, names: Names, heard: Heard, news: News, *, after: int
    ) -> Mapping[str, Any]:
        """In the agent's own words, which are looked up after the wishes: who renames has them kept first."""
        instance, words = names.instance, {}
        if news.wishes and heard.id:
            async with self._turn(), self._pool.connection() as connection:
                found = await connection.execute(_SQL["words"], {"instance": heard.id})
                for name, breaker, said_as in await found.fetchall():
                    instance, words[breaker] = name, said_as
        mine = [
            replace(wish, breaker=words.get(wish.breaker_id) or wish.breaker)
            for wish in news.wishes
        ]
        passed_s = time.monotonic() - news.read_at
        number = max([after, *(wish.number for wish in mine)])
        return {
            "desired": [owed(wish, part_of(wish, instance), passed_s=passed_s) for wish in mine],
            "cursor": Place.of(heard, number).encode(names),
        }


async def _first(waiter: Waiter, gone: asyncio.Task[None], until: float) -> Outcome | None:
    """The waiter's outcome, or None once its time is over. Raises Disconnected."""
    either: set[asyncio.Future[Any]] = {waiter.outcome, gone}
    await asyncio.wait(
        either,
        timeout=max(0.0, until - time.monotonic()),
        return_when=asyncio.FIRST_COMPLETED,
    )
    if gone.done():
        raise asgi.Disconnected
    return waiter.outcome.result() if waiter.outcome.done() else None


@contextlib.asynccontextmanager
async def _gone(receive: asgi.Receive) -> AsyncIterator[asyncio.Task[None]]:
    """Done once the caller has gone away."""

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass  # a body, which nobody asked for

    task = asyncio.create_task(until_gone(), name="long poll")
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class AppliedApp(AgentEndpoint):
    """`POST agent/applied`: a hello, what became of revisions, and maybe goodbye; answered after the commit."""

    method = "POST"

    def __init__(self, *, writer: Writer, bus: Bus, **shared: Any) -> None:
        super().__init__(**shared)
        self._writer = writer
        self._bus = bus
        self._bodies = Bodies()

    async def _answer(
        self, actor: Actor, scope: asgi.Scope, receive: asgi.Receive
    ) -> Mapping[str, Any]:
        if media_type(scope) != "application/json":
            raise asgi.UnsupportedType("Send application/json.")
        with self._bodies.share() as share:
            body = await read_body(scope, receive, share, limit=asgi.BODY_MAX)
            return await self._heard(Said.read(body, actor), actor)

    async def _heard(self, said: Said, actor: Actor) -> Mapping[str, Any]:
        self._admit(actor, said.names, weight=1 + len(said.applied))
        async with asyncio.timeout(_COMMIT_S):
            service, instance, known, warnings = await self._present(said, actor)
            accepted = await self._report(said, service, instance, known)
            if said.goodbye:
                session = said.names.session_of(said.hello.boot)
                await self._writer.commit_aside(
                    Retire(instance_id=instance, session=session, breakers=len(known))
                )
                self._bus.say("presented", instance=instance)
        return {
            "accepted": accepted,
            "rejected": [
                RejectedEvent(index, [WrongField(list(e.loc), e.msg) for e in errors])
                for index, errors in sorted(said.rejected.items())
            ],
            "heartbeat": HEARTBEAT_S,
        } | ({"warnings": warnings} if warnings else {})

    async def _present(
        self, said: Said, actor: Actor
    ) -> tuple[int, int, Mapping[str, int], list[HelloWarning]]:
        """The ids of service, instance, and of the breakers that the hello presents; and what is not believed of it."""
        session = said.names.session_of(said.hello.boot)
        if not said.hello.breakers:
            # Nothing to present: a word of somebody known costs no writing.
            heard = await self._hear(said.names, held_by=session)
            if heard is not None and heard.present and heard.session == session:
                return heard.service_id, heard.id, {}, []
        job = Introduce(
            hello=said.hello,
            environment=said.names.environment,
            session=session,
            connected=True,
            by=actor,
        )
        try:
            introduced = await self._writer.commit_aside(job)
        except BeyondBound as beyond:
            raise Forbidden(str(beyond)) from beyond
        if introduced is None:
            raise Conflict(_TAKEN)
        if introduced.taken_from is not None:
            self._bus.say("taken", session=introduced.taken_from.hex)
        await self._note_words(introduced.instance_id, introduced.breaker_ids)
        self._bus.say("presented", instance=introduced.instance_id)
        return (
            introduced.service_id,
            introduced.instance_id,
            introduced.breaker_ids,
            warnings_of(introduced),
        )

    async def _note_words(self, instance: int, breakers: Mapping[str, int]) -> None:
        """How the agent calls them, where something else is their name by now."""
        if breakers:
            said = {"names": list(breakers), "breakers": list(breakers.values())}
            async with self._turn(), self._pool.connection() as connection:
                await connection.execute(_SQL["note_words"], said | {"instance": instance})

    async def _report(
        self, said: Said, service: int, instance: int, known: Mapping[str, int]
    ) -> int:
        """How many were stored; those of breakers that are not in the instance join the rejected."""
        if any(applied.breaker not in known for _, applied in said.applied):
            async with self._turn(), self._pool.connection() as connection:
                inside = await connection.execute(_SQL["breakers_inside"], {"instance": instance})
                known = dict(await inside.fetchall())
        waiting = []
        for index, applied in said.applied:
            breaker = known.get(applied.breaker)
            if breaker is None:
                unknown = FieldError(("breaker",), "is not in this instance: present it in a hello")
                said.rejected[index] = [unknown]
                continue
            report = Report(
                service_id=service,
                instance_id=instance,
                session=said.names.session_of(said.hello.boot),
                breaker_id=breaker,
                applied=applied,
            )
            waiting.append(self._writer.submit(report))
        await asyncio.gather(*waiting)
        return len(waiting)
