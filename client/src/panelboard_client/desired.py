"""What the panel wants of one breaker, and how far that is put into effect. Pure: no clock, no I/O.

Revisions only grow; an older one is never put into effect after a newer one, whatever order
frames arrive in (I6). An override ends at its time by the clock handed in, server or not (I5).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Deque, Optional

from panelboard_client.wire import COMMANDS, MODES, Command, Order

REMEMBERED_COMMANDS = 64
"""A command lives 60 s at most, so this many a breaker is far more than can come again."""


class Step(Enum):
    """What to do about an order that came."""

    CONVERGE = "converge"
    """It is news: put it into effect, then settle()."""
    ANSWER = "answer"
    """It is not: repeat the answer to the last one."""


@dataclass(frozen=True)
class Waiting:
    """A command that is to run once, before `until` (seconds on the clock handed in)."""

    id: str
    command: str
    until: float


class Standing:
    """The newest order for one breaker and its fate.

    `revision` is the newest seen, `applied` the newest put into effect; they differ while an
    order is being put into effect, and after one failed.
    """

    def __init__(self) -> None:
        self.revision: Optional[int] = None
        self.applied: Optional[int] = None
        self.error: Optional[str] = None
        self.mode: Optional[str] = None
        self.reason = ""
        self.until: Optional[float] = None
        self.waiting: Optional[Waiting] = None
        self._ran: Deque[str] = deque(maxlen=REMEMBERED_COMMANDS)

    def receive(self, order: Order, now: float) -> Step:
        """Takes an order in. `now` is monotonic seconds: `expires_in` counts from it."""
        if self.revision is not None and order.revision < self.revision:
            return Step.ANSWER
        if self.applied is not None and order.revision <= self.applied:
            return self._heard_again(order, now)
        self.revision = order.revision
        self.waiting = None
        self.error = _refusal(order)
        if self.error is not None:
            # What stood before stands on, to its own expiry: guessing would be worse.
            return Step.ANSWER
        self.mode = order.mode
        self.reason = order.reason
        self.until = None if order.expires_in is None else now + order.expires_in
        self.waiting = self._news(order.command, now)
        self.lapse(now)
        return Step.CONVERGE

    def settle(self, error: Optional[str]) -> None:
        """The newest order is in effect (None), or could not be and why."""
        self.error = error
        if error is None:
            self.applied = self.revision

    def lapse(self, now: float) -> bool:
        """Drops the override if its time has come; says whether it did."""
        if self.mode is None or self.until is None or now < self.until:
            return False
        self.drop()
        return True

    def drop(self) -> None:
        """The override has ended here, whatever revision will say so later."""
        self.mode = None

    def ran(self, command_id: str) -> None:
        """The command has run, and never will again."""
        self._ran.append(command_id)
        self.waiting = None

    def answerable(self) -> Optional[int]:
        """The revision that an answer is about; None while there is nothing to say."""
        return self.revision if self.error is not None else self.applied

    def forget_answers(self) -> None:
        """What a forked child does, as a new instance that has confirmed nothing yet, and whoever is told by
        the panel that it never wished this revision.

        The override stays in force until its own order or its expiry ends it.
        """
        self.revision = self.applied = self.error = None

    def _heard_again(self, order: Order, now: float) -> Step:
        # A process that was suspended has a clock that stood still; what the server says is
        # left may therefore shorten the time, never lengthen it.
        if order.revision == self.applied and self.mode is not None and self.until is not None:
            left = now + (order.expires_in or 0.0)
            if order.expires_in is not None and left < self.until:
                self.until = left
        return Step.ANSWER

    def _news(self, command: Optional[Command], now: float) -> Optional[Waiting]:
        if command is None or command.id in self._ran or command.expires_in <= 0:
            return None
        return Waiting(command.id, command.command, now + command.expires_in)


def _refusal(order: Order) -> Optional[str]:
    """Why an order cannot be put into effect by this version at all, if so."""
    if order.mode is not None and order.mode not in MODES:
        return f"this agent knows no mode {order.mode!r}"
    if order.command is not None and order.command.command not in COMMANDS:
        return f"this agent knows no command {order.command.command!r}"
    return None
