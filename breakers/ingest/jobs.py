"""What waits to be committed, and what its sender is told. The writer knows no other kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

from breakers.access import Actor
from breakers.errors import FieldError
from breakers.wire import Applied, Happened, Hello

Answer = TypeVar("Answer")
_WHOLE_MAX = 4_000
"""What the breakers of instances weigh at most: also the one that has more goes into some group."""


class Stored(Enum):
    """What became of an event that was let in."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that the database would not take."""

    errors: tuple[FieldError, ...]


Outcome = Stored | Refused


@dataclass(eq=False, kw_only=True)
class Job(Generic[Answer]):
    """Something to commit; `weight` is about its number of rows, `done` has the answer after the commit."""

    done: asyncio.Future[Answer] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def weight(self) -> int:
        return 1

    def answer(self, answer: Answer) -> None:
        """The first word counts: who was told that it is late hears nothing more."""
        if not self.done.done():
            self.done.set_result(answer)


def fail_all(jobs: Iterable[Job[Any]], problem: Exception) -> None:
    """Those that were not answered yet."""
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(problem)


@dataclass(eq=False, kw_only=True)
class Batch(Job[list[Outcome]]):
    """Events of one request or frame; one outcome each, in their order."""

    events: Sequence[Happened]
    by: Actor | None = None
    """Whose bound the names count towards that are made for it; None: nobody's."""

    @property
    def weight(self) -> int:
        return len(self.events)


@dataclass(frozen=True, slots=True)
class Introduced:
    """An instance as its session knows it from now on."""

    service_id: int
    instance_id: int
    instance: str
    """Its name here, which may be another than it says: it was renamed."""
    breaker_ids: dict[str, int]
    """By the names that it says."""
    taken_from: UUID | None
    """The session that held the instance before."""
    unknown_revisions: Mapping[str, int] = field(default_factory=dict)
    """What it says to have applied and was never wished here nor in a database that this one may have been restored
    from, by the names that it says."""


@dataclass(eq=False, kw_only=True)
class Introduce(Job[Introduced | None]):
    """A `hello`: the instance is this session's, and its breakers are in these states. None where that is over: it
    comes `again` and another session holds the instance by now, or its agent has a later connection."""

    hello: Hello
    environment: str
    session: UUID
    connected: bool | None
    again: bool = False
    """Not the session's first: that takes the instance over from whoever holds it, unless the agent says that it has
    connected once more since; a later one does not."""
    by: Actor | None = None

    @property
    def weight(self) -> int:
        return len(self.hello.breakers) + 1


@dataclass(eq=False, kw_only=True)
class Report(Job[None]):
    """An `applied`: what became of a revision in an instance. A late one of a session that has lost the instance to
    another changes nothing: the other's hello said what is so."""

    service_id: int
    instance_id: int
    session: UUID
    breaker_id: int
    applied: Applied
    heard_at: datetime = field(default_factory=partial(datetime.now, UTC))
    """What the agent tells next has happened since, though maybe before this is committed."""


@dataclass(eq=False, kw_only=True)
class _OfWhole(Job[Answer]):
    """About all breakers of an instance, or of some: each of them is locked and changed."""

    breakers: int
    """About how many these are."""

    @property
    def weight(self) -> int:
        return 1 + min(self.breakers, _WHOLE_MAX)


@dataclass(eq=False, kw_only=True)
class Lose(_OfWhole[list[int]]):
    """Instances that look silent; the answer is those that were in fact lost."""

    instance_ids: Sequence[int]


@dataclass(eq=False, kw_only=True)
class Settle(_OfWhole[None]):
    """An instance of which breakers are to leave by now, or are back though no hello has named them."""

    instance_id: int


@dataclass(eq=False, kw_only=True)
class Retire(_OfWhole[bool]):
    """A goodbye; true if the session still held the instance."""

    instance_id: int
    session: UUID


@dataclass(eq=False, kw_only=True)
class Disconnect(_OfWhole[bool]):
    """A socket that broke off, or an agent that fell silent; the instance is not lost yet."""

    instance_id: int
    session: UUID
    silent_for_s: float = 0.0
    """Whoever was heard since then is still there after all."""


AnyJob = Job[Any]
