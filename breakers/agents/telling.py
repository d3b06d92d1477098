"""What is wished, on its way to a whole fleet: each frame is made and encoded once for all who are owed the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from breakers.desired.converge import Part, Wish, owed, part_of
from breakers.live.frames import on_the_wire
from breakers.wire import ServerFrame

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Encoded:
    """A frame as an ASGI server takes it, and as the bytes that it writes for it."""

    text: str
    on_the_wire: bytes

    @classmethod
    def of(cls, frame: ServerFrame) -> Encoded:
        text = _encode(frame).decode()
        return cls(text, on_the_wire(text))


class Telling:
    """One reading of wishes; the times in its frames are those of the reading."""

    def __init__(self, wishes: Sequence[Wish]) -> None:
        self.wishes = wishes
        self._frames: dict[tuple[int, str, Part], Encoded] = {}

    def frame(self, wish: Wish, *, name: str, instance: str) -> Encoded:
        """What an instance that calls the breaker by this name is owed of a wish of this reading."""
        key = wish.breaker_id, name, part_of(wish, instance)
        known = self._frames.get(key)
        if known is None:
            known = Encoded.of(owed(replace(wish, breaker=name), key[2]))
            self._frames[key] = known
        return known
