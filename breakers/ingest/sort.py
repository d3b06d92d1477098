"""The events of one request, each judged by itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from breakers.access import Actor
from breakers.errors import FieldError
from breakers.ingest.formats import Item
from breakers.ingest.rejected import Rejected
from breakers.ingest.validate import Clock, decoder_of, enveloped, happened_from_api, is_plain
from breakers.wire import EventIn, Happened

_read = decoder_of(EventIn)
_decode = msgspec.json.Decoder(EventIn).decode


class Sorting:
    """The events of one request as far as they were looked at: those let in, and the rest with the reasons, by their
    index."""

    def __init__(self, actor: Actor, *, now: datetime) -> None:
        self.indexes: list[int] = []
        self.events: list[Happened] = []
        self.rejected = Rejected()
        self.outside = 0
        self._actor = actor
        self._clock = Clock(now)

    def __len__(self) -> int:
        return len(self.indexes) + len(self.rejected)

    def take(self, items: Iterable[Item]) -> None:
        """The next ones, each by itself: let in, or rejected with every reason."""
        for index, item in enumerate(items, start=len(self)):
            body = list(item.errors) if item.errors else _read(item.raw)
            if isinstance(body, list):
                self.rejected.refuse(index, body)
                continue
            if item.id is not None:
                body = enveloped(body, id=item.id, occurred_at=item.occurred_at)
                if isinstance(body, list):
                    self.rejected.refuse(index, body)
                    continue
            self.judge(index, body)

    def judge(self, index: int, said: EventIn) -> None:
        """An event that has the right form."""
        default = self._actor.default_environment
        event = happened_from_api(said, default_environment=default, clock=self._clock)
        if isinstance(event, list):
            self.rejected.refuse(index, event)
        elif not self._actor.may_touch(environment=event.environment, service=event.service):
            self.outside += 1
            self.rejected.refuse(index, [_outside(self._actor, event)])
        else:
            self.indexes.append(index)
            self.events.append(event)


def sort(items: Iterable[Item], actor: Actor, *, now: datetime) -> Sorting:
    """All of them at once."""
    found = Sorting(actor, now=now)
    found.take(items)
    return found


def sort_one(body: bytes, actor: Actor, *, now: datetime) -> Sorting | None:
    """A body that is one event and needs no second look, as those mostly are that come by themselves; else None."""
    try:
        said = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not is_plain(body):
        return None
    found = Sorting(actor, now=now)
    found.judge(0, said)
    return found


def _outside(actor: Actor, event: Happened) -> FieldError:
    inside = actor.environments is None or event.environment in actor.environments
    return FieldError(("service" if inside else "environment",), "lies outside this key's limits")
