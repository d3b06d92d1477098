"""What agents without a socket send, understood or refused. No I/O.

An instance that polls is the same session in every call and every process: a hash of its names and its boot. So
nothing need be remembered between calls, and a caller of another boot is told that the instance is taken.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl
from uuid import UUID
from zlib import crc32

import msgspec

from breakers import cursor
from breakers.access import Actor
from breakers.agents.session import wrong_in
from breakers.asgi import TooLarge
from breakers.errors import FieldError, Invalid
from breakers.ingest.endpoint import NotUnderstood
from breakers.ingest.explain import located
from breakers.ingest.surrogates import decode_leniently
from breakers.wire import NAME_MAX, Applied, Hello

_Kind = TypeVar("_Kind")
WAIT_S, WAIT_MAX_S = 30.0, 60.0
APPLIED_MAX = 1000
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Names:
    """Which instance speaks."""

    environment: str
    service: str
    instance: str

    def session_of(self, boot: str) -> UUID:
        """Of one life of the instance."""
        said = msgspec.json.encode([self.environment, self.service, self.instance, boot])
        return UUID(bytes=hashlib.sha256(said).digest()[:16])

    @property
    def nobody(self) -> UUID:
        """The session of an instance that has never said hello."""
        return self.session_of("")


@dataclass(frozen=True, slots=True)
class Heard:
    """An instance as a call found it."""

    id: int
    """0: there is none."""
    service_id: int
    desired_number: int
    session: UUID
    present: bool
    """Neither lost nor retired: else it is to say hello anew."""
    breakers: frozenset[int] | None
    """None: it never said which, so all of the service concern it."""

    @property
    def breakers_count(self) -> int:
        return -1 if self.breakers is None else len(self.breakers)

    @property
    def breakers_sum(self) -> int:
        """By which another set of as many is told apart."""
        return crc32(repr(sorted(self.breakers or ())).encode())


@dataclass(frozen=True, slots=True)
class Place:
    """What a cursor holds: up to which change its holder was told, of which breakers, in which life."""

    number: int
    instance: int
    breakers: int
    breakers_sum: int
    session: UUID

    @classmethod
    def of(cls, heard: Heard, number: int) -> Place:
        return cls(number, heard.id, heard.breakers_count, heard.breakers_sum, heard.session)

    def encode(self, names: Names) -> str:
        held = [self.number, self.instance, self.breakers, self.breakers_sum, str(self.session)]
        return cursor.encode(_list_of(names), held)

    @classmethod
    def decode(cls, text: str, names: Names) -> Place:
        """Raises Invalid, also for another instance's."""
        try:
            return cls(*cursor.decode(text, _list_of(names), (int, int, int, int, UUID)))
        except Invalid as wrong:
            raise Invalid([FieldError(("after",), error.msg) for error in wrong.errors]) from wrong

    def holds(self, heard: Heard) -> bool:
        """Whether what changed after it is all that its holder lacks. Not where it has presented more breakers
        since, nor where the database was restored from before it."""
        return (
            self.session == heard.session
            and self.instance == heard.id
            and self.breakers == heard.breakers_count
            and self.breakers_sum == heard.breakers_sum
            and self.number <= heard.desired_number
        )

    def knew_more(self, heard: Heard) -> bool:
        """Whether the instance, or breakers of it, were removed since: what is wished of those has ended, which only
        a whole hello and all that is wished then can tell its holder."""
        if self.instance != heard.id:
            return self.instance != 0
        is_same_or_more = (
            self.breakers < heard.breakers_count or self.breakers_sum == heard.breakers_sum
        )
        return not is_same_or_more


def _list_of(names: Names) -> dict[str, object]:
    return {
        "agent": names.environment,
        "service": names.service,
        "instance": names.instance,
    }


@dataclass(frozen=True, slots=True)
class Question:
    """A GET: what is wished of an instance, all of it or after a place."""

    names: Names
    after: Place | None
    boot: str | None
    wait_s: float

    @classmethod
    def read(cls, query: bytes, actor: Actor) -> Question:
        """Raises Invalid."""
        said = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        errors = [
            FieldError((name,), f"must be 1 to {NAME_MAX} printable characters")
            for name, missing in (
                ("service", ""),
                ("instance", ""),
                ("environment", "-"),
                ("boot", "-"),
            )
            if not _is_name(said.get(name) or missing)
        ]
        wait_s = _seconds(said.get("wait") or str(WAIT_S))
        if not 0 <= wait_s <= WAIT_MAX_S:
            errors.append(FieldError(("wait",), f"must be 0 to {WAIT_MAX_S:g} seconds"))
        if errors:
            raise Invalid(errors)
        environment = said.get("environment") or actor.default_environment
        names = Names(environment, said["service"], said["instance"])
        after = said.get("after")
        return cls(
            names=names,
            after=Place.decode(after, names) if after else None,
            boot=said.get("boot") or None,
            wait_s=wait_s,
        )

    @property
    def held_by(self) -> UUID | None:
        """The session that the caller takes itself for; None where it does not say."""
        if self.boot is not None:
            return self.names.session_of(self.boot)
        if self.after is None or self.after.session == self.names.nobody:
            return None
        return self.after.session


def _is_name(text: str) -> bool:
    return 0 < len(text) <= NAME_MAX and text.isprintable()


def _seconds(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else math.nan


class _Envelope(msgspec.Struct, frozen=True):
    hello: msgspec.Raw = msgspec.Raw()
    applied: list[msgspec.Raw] = []
    goodbye: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A POST: who speaks and of what, what became of revisions, and whether it is the last word."""

    names: Names
    hello: Hello
    goodbye: bool
    applied: Sequence[tuple[int, Applied]]
    """With their indexes in the request."""
    rejected: dict[int, list[FieldError]] = field(default_factory=dict)

    @classmethod
    def read(cls, body: bytes, actor: Actor) -> Said:
        """Raises CallError. The hello stands under its name, or its fields beside `applied`."""
        envelope = _decode(_Envelope, body)
        if len(envelope.applied) > APPLIED_MAX:
            raise TooLarge(f"At most {APPLIED_MAX} in “applied”.")
        is_wrapped = bool(bytes(envelope.hello))
        hello = (
            _decode(Hello, bytes(envelope.hello), "hello") if is_wrapped else _decode(Hello, body)
        )
        environment = hello.environment or actor.default_environment
        wrong = wrong_in(hello, environment=environment)
        if wrong is not None:
            raise Invalid([FieldError(("hello",) if is_wrapped else (), wrong)])
        applied: list[tuple[int, Applied]] = []
        rejected: dict[int, list[FieldError]] = {}
        for index, raw in enumerate(envelope.applied):
            try:
                applied.append((index, _decode(Applied, bytes(raw))))
            except Invalid as problem:
                rejected[index] = list(problem.errors)
        return cls(
            names=Names(environment, hello.service, hello.instance),
            hello=hello,
            goodbye=envelope.goodbye,
            applied=applied,
            rejected=rejected,
        )


def _decode(kind: type[_Kind], body: bytes, *loc: str) -> _Kind:
    """Raises NotUnderstood, Invalid."""
    try:
        return decode_leniently(msgspec.json.Decoder(kind).decode, body)
    except msgspec.ValidationError as wrong:
        raise Invalid([located(str(wrong), *loc)]) from wrong
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise NotUnderstood(str(problem)) from problem
