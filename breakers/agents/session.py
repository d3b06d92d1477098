"""One agent's conversation as a state machine without I/O: frames in, things to do out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import msgspec

from breakers.access import Actor
from breakers.closing import FORBIDDEN, NOT_UNDERSTOOD, Close
from breakers.desired.converge import Wish, owed, part_of
from breakers.ingest.jobs import Introduced
from breakers.ingest.rejected import Rejected
from breakers.ingest.surrogates import decode_leniently
from breakers.ingest.validate import Clock, decoder_of, happened
from breakers.wire import (
    AgentFrame,
    Applied,
    Desired,
    EventBody,
    Events,
    Goodbye,
    Happened,
    Hello,
    HelloWarning,
    Ping,
)

_frames = msgspec.json.Decoder(AgentFrame)
_event = decoder_of(EventBody)


@dataclass
class EventBatch:
    """The events of a frame, and the rejections, by index in the frame."""

    number: int
    indexes: list[int] = field(default_factory=list)
    events: list[Happened] = field(default_factory=list)
    rejected: Rejected = field(default_factory=Rejected)

    @property
    def newest(self) -> datetime | None:
        """The last time of an event that has one of its own."""
        return max((event.occurred_at for event in self.events if event.timed), default=None)


_DEEPER = 100


def _nested_deeper(value: object) -> object:
    for _ in range(_DEEPER):
        value = [value]
    return value


def wrong_in(hello: Hello, *, environment: str) -> str | None:
    """Why a hello that was decoded cannot be taken, if so."""
    for text in (
        environment,
        hello.service,
        hello.instance,
        hello.boot,
        *(item.breaker for item in hello.breakers),
        *(item.target or "-" for item in hello.breakers),
        *(item.library or "-" for item in hello.breakers),
        *(f"{key}{value}" or "-" for key, value in hello.labels.items()),
        f"-{hello.agent.name}{hello.agent.version}",
    ):
        if not text.isprintable():
            return "names must be printable characters only"
    try:
        # For what writes it may itself stand deeper than this.
        said = msgspec.json.encode(_nested_deeper([item.config for item in hello.breakers]))
    except RecursionError:
        return "config is nested too deeply"
    if b"\\u0000" in said:
        return "config must not hold NUL"
    return None


def warnings_of(introduced: Introduced) -> list[HelloWarning]:
    """What the agent is told beside its welcome of what was not believed."""
    return [
        HelloWarning(
            breaker=name,
            code="revision_unknown",
            msg=f"Revision {revision} was never wished here. Forget it, and put into effect what is wished now.",
        )
        for name, revision in introduced.unknown_revisions.items()
    ]


Effect = Hello | Goodbye | EventBatch | Applied | Ping


class Session:
    """What the server knows of one socket. Raises Close where the conversation cannot go on."""

    def __init__(self, *, id: UUID, actor: Actor) -> None:
        self.id = id
        self.actor = actor
        self.hello: Hello | None = None
        self.environment = ""
        self.introduced: Introduced | None = None
        self._sent: dict[str, int] = {}
        self._names: dict[int, list[str]] = {}
        self._named: Introduced | None = None

    def receive(self, text: str, *, now: datetime) -> Effect:
        """What a frame asks for."""
        try:
            frame: AgentFrame = decode_leniently(_frames.decode, text.encode())
        except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
            raise Close(NOT_UNDERSTOOD, str(problem)) from problem
        if isinstance(frame, Hello):
            return self._greet(frame)
        if self.hello is None:
            raise Close(NOT_UNDERSTOOD, "say hello first")
        if isinstance(frame, Events):
            return self._sort(frame, now)
        return frame

    def _greet(self, hello: Hello) -> Hello:
        environment = hello.environment or self.actor.default_environment
        wrong = wrong_in(hello, environment=environment)
        if wrong is not None:
            raise Close(NOT_UNDERSTOOD, wrong)
        if not self.actor.may_touch(environment=environment, service=hello.service):
            raise Close(FORBIDDEN, "outside the key's limits")
        if self.hello is not None and (hello.service, hello.instance, hello.boot, environment) != (
            self.hello.service,
            self.hello.instance,
            self.hello.boot,
            self.environment,
        ):
            raise Close(NOT_UNDERSTOOD, "a socket speaks for one instance")
        self.hello, self.environment = hello, environment
        return hello

    def _sort(self, frame: Events, now: datetime) -> EventBatch:
        assert self.hello is not None
        batch = EventBatch(frame.batch)
        clock = Clock(now)
        for index, raw in enumerate(frame.events):
            body = _event(raw)
            event = (
                body
                if isinstance(body, list)
                else happened(
                    body,
                    environment=self.environment,
                    service=self.hello.service,
                    instance=self.hello.instance,
                    boot=self.hello.boot,
                    clock=clock,
                )
            )
            if isinstance(event, list):
                batch.rejected.refuse(index, event)
            else:
                batch.indexes.append(index)
                batch.events.append(event)
        return batch

    def unsaid(self, wishes: Iterable[Wish]) -> list[tuple[Wish, str]]:
        """What this agent is to be told of the wishes, each with the name that it says, and counts as told from
        here on: of its breakers, and never an older revision after a newer one (I6)."""
        found = []
        for wish in wishes:
            for name in self._names_of(wish):
                if wish.revision > self._sent.get(name, 0):
                    self._sent[name] = wish.revision
                    found.append((wish, name))
        return found

    def welcome(self, wishes: Iterable[Wish]) -> list[Desired]:
        """The desired state for a welcome: whole, for each hello."""
        assert self.introduced is not None
        wishes = list(wishes)
        for wish in wishes:
            for name in self._names_of(wish):
                if wish.revision >= self._sent.get(name, 0):
                    self._sent.pop(name, None)
        instance = self.introduced.instance
        return [
            owed(replace(wish, breaker=name), part_of(wish, instance))
            for wish, name in self.unsaid(wishes)
        ]

    def _names_of(self, wish: Wish) -> Sequence[str]:
        """By which names it calls the breaker, if it has it: one may have been renamed here."""
        if self._named is not self.introduced:
            self._named, self._names = self.introduced, {}
            for name, id in (self.introduced.breaker_ids if self.introduced else {}).items():
                self._names.setdefault(id, []).append(name)
        return self._names.get(wish.breaker_id, ())
