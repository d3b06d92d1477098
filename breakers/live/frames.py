"""The text frames of `/live/v1`, put together from summaries that were encoded once. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from websockets.frames import Frame, Opcode

_encode = msgspec.json.Encoder().encode
# About 400 kB a frame: far below what a proxy refuses, and a phone need not wait for one huge parse.
PART_MAX = 1000


def snapshot(version: int, summaries: Sequence[bytes]) -> list[str]:
    """The frames of a whole view; at least one."""
    parts = max(1, -(-len(summaries) // PART_MAX))
    return [
        f'{{"type":"snapshot","version":{version},"part":{part + 1},"parts":{parts},"breakers":['
        + b",".join(summaries[part * PART_MAX : (part + 1) * PART_MAX]).decode()
        + "]}"
        for part in range(parts)
    ]


def changes(version: int, changed: Sequence[bytes], removed: Sequence[int]) -> str:
    """What is new in a view, and what no longer belongs to it."""
    gone = ",".join(f'"{id}"' for id in removed)
    told = b",".join(changed).decode()
    return f'{{"type":"changes","version":{version},"changed":[{told}],"removed":[{gone}]}}'


def incident(payload: Mapping[str, Any]) -> str:
    """An incident that began, changed or ended."""
    return _encode({"type": "incident", "incident": payload}).decode()


def on_the_wire(text: str) -> bytes:
    """A text as the bytes that a server writes for it: one frame, not masked."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


PONG = '{"type":"pong"}'
