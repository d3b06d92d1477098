"""What sockets watch: views of the board, each for all sockets of equal match and rights, and what a socket is owed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping

import msgspec

from breakers.asgi import WriteNow
from breakers.live import board, frames
from breakers.live.match import Filter

encode = msgspec.json.Encoder().encode
# Frames that may wait for one socket: about a second and a half of steady change.
BEHIND_MAX = 32


class Reader:
    """What one socket is owed. The socket's own task waits for `next` and sends; the hub never waits.

    With `write_now`, a socket that keeps up is written to without its task, which costs a third as much. The task
    is at rest then: what it took with `next` is sent when it asks again, so that no frame overtakes another.
    """

    def __init__(self, write_now: WriteNow | None = None) -> None:
        self.view: View | None = None
        self._write_now = write_now
        self._is_at_rest = False
        self._owed: deque[str] = deque()
        self._more = asyncio.Event()
        self._afresh = False

    def owe_all(self, frame: str, bytes_of_it: bytes) -> None:
        """Owes a frame that many are owed, whose bytes were made once."""
        if (
            self._is_at_rest
            and not self._owed
            and not self._afresh
            and self._write_now is not None
            and self._write_now(bytes_of_it)
        ):
            return
        self.owe(frame)

    def owe(self, frame: str) -> None:
        if self._afresh:
            return
        if len(self._owed) >= BEHIND_MAX:
            self.owe_snapshot()
            return
        self._owed.append(frame)
        self._more.set()

    def owe_snapshot(self) -> None:
        """Forgets what was owed: when the socket is ready, it gets the whole view as it is then."""
        self._owed.clear()
        self._afresh = True
        self._more.set()

    async def next(self) -> str:
        """The next frame to send; the one before has been sent."""
        while True:
            if self._owed:
                self._is_at_rest = False
                return self._owed.popleft()
            if self._afresh and self.view is not None:
                self._afresh = False
                self._owed.extend(self.view.snapshot())
                continue
            self._is_at_rest = True
            self._more.clear()
            await self._more.wait()


class View:
    """The breakers that match, as last told to the view's sockets."""

    def __init__(self, chosen: Filter) -> None:
        self.chosen = chosen
        self.version = 0
        self.readers: set[Reader] = set()
        self.joining = 0
        """How many sockets wait for it to be filled."""
        self.reading: asyncio.Future[None] | None = None
        """The last that fills it; one at a time."""
        self._known: dict[int, tuple[int, bytes]] = {}
        self._filling: dict[int, tuple[int, bytes]] | None = None
        """What a reading that is under way has found so far."""
        self._snapshot: list[str] | None = None

    @property
    def is_wanted(self) -> bool:
        return bool(self.readers or self.joining)

    def begin_fill(self) -> None:
        self._filling = {}

    def fill(self, rows: Iterable[board.Row]) -> None:
        """Some more of what is read for it, as it is now."""
        assert self._filling is not None
        self._filling.update(
            (row.id, (row.change, encode(row.summary)))
            for row in rows
            if row.summary in self.chosen
        )

    def end_fill(self) -> None:
        """What was read takes the place of what was known."""
        assert self._filling is not None
        self._known, self._filling, self._snapshot = self._filling, None, None

    def snapshot(self) -> list[str]:
        """The frames of the whole view at its version; encoded once for all that ask."""
        if self._snapshot is None:
            summaries = [self._known[id][1] for id in sorted(self._known)]
            self._snapshot = frames.snapshot(self.version, summaries)
        return self._snapshot

    def apply(self, read: Mapping[int, tuple[int, board.Row | None, bytes]]) -> str | None:
        """Takes in what was read, and gives the frame that tells of it, if there is anything to tell."""
        changed, removed = [], []
        for id, (change, row, encoded) in read.items():
            known = self._known.get(id)
            if self._filling is not None:
                self._filling.pop(id, None)
                if row is not None and row.summary in self.chosen:
                    self._filling[id] = (change, encoded)
            # With the same number it may differ by time alone: its rates have grown old.
            if (
                row is not None
                and known is not None
                and (change < known[0] or known == (change, encoded))
            ):
                continue
            if row is not None and row.summary in self.chosen:
                self._known[id] = (change, encoded)
                changed.append(encoded)
            elif known is not None:
                del self._known[id]
                removed.append(id)
        if not changed and not removed:
            return None
        self.version += 1
        self._snapshot = None
        return frames.changes(self.version, changed, removed)

    def begin_again(self) -> None:
        """Each reader gets the whole view once more."""
        self._snapshot = None
        for reader in self.readers:
            reader.owe_snapshot()


def owe_all(view: View, frame: str) -> None:
    bytes_of_it = frames.on_the_wire(frame)
    for reader in view.readers:
        reader.owe_all(frame, bytes_of_it)
