"""Django's PostgreSQL, but for a server that is frozen: it holds every connection, takes in what is sent, keeps no
time-out of its own, and neither libpq nor psycopg has one for an answer. Django finds this module by its name.

A statement is never cut off for being slow: only where the server answers nobody else either.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import traceback
from collections.abc import Generator
from types import ModuleType
from typing import Any, ClassVar, Self, TypeVar

import psycopg
from django.db.backends.postgresql import base
from django.db.utils import InterfaceError, OperationalError
from psycopg.abc import PQGen

Answer = TypeVar("Answer")

ASKED_AFTER_S = 3.0
"""Of silence, and again after as much: whether the server still answers."""
_ANSWERS_WITHIN_S = 2
"""The least that libpq knows."""
_INTERVAL_S = 0.1
IDLE_MAX_MS = 30_000
LOCKED_MAX_MS = 3000
"""So long somebody who waits for the answer waits for others to let go of a row."""
_HOLDS_S = 1.0
"""So long one answer does for all who wait."""


class NoAnswer(psycopg.OperationalError):
    """The server holds the connection and says nothing, to nobody: whether it did what it was asked is unknown."""


class CommitInDoubt(OperationalError):
    """The connection ended in the middle of COMMIT: all of the transaction has been carried out, or nothing."""


class Connection(psycopg.Connection[Any]):
    """One that is closed under its user, who gets NoAnswer, where its server answers nobody any more."""

    gives_up: ClassVar[bool] = False
    """Where somebody waits for the answer. What runs by itself would only begin again from the start."""
    lets_go: ClassVar[bool] = False
    """Where a transaction is never left alone for long: a process that is stopped in the midst of one holds rows, for
    which others of its kind would wait."""
    _asked: dict[str, Any]
    _asking: ClassVar[threading.Lock] = threading.Lock()
    _answered: ClassVar[tuple[float, bool]] = (float("-inf"), True)

    @classmethod
    def connect(cls, *arguments: Any, **asked: Any) -> Self:
        try:
            connection = super().connect(*arguments, **asked)
        except psycopg.OperationalError as problem:
            # Its frames keep the half-open socket, in a cycle that the collector is long in finding: when a frozen
            # server goes on, each is one more process of its that waits for a minute.
            traceback.clear_frames(problem.__traceback__)
            raise
        connection._asked = asked
        return connection

    def wait(
        self, gen: PQGen[Answer], interval: float = _INTERVAL_S, timeout: float | None = None
    ) -> Answer:
        watched = self._while_it_answers(gen) if self.gives_up else gen
        try:
            return super().wait(watched, interval=interval, timeout=timeout)
        except psycopg.errors.IdleInTransactionSessionTimeout as ended:
            # To Django an error of its own making; it is a connection that was lost, and all of its transaction.
            raise psycopg.OperationalError(str(ended)) from ended

    def _while_it_answers(self, gen: PQGen[Answer]) -> Generator[Any, Any, Answer]:
        ask_at = time.monotonic() + ASKED_AFTER_S
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= ask_at:
                    if not self._still_answers():
                        self.pgconn.finish()
                        raise NoAnswer("the server holds the connection and answers nobody")
                    ask_at = time.monotonic() + ASKED_AFTER_S
                wanted = gen.send(ready)
        except StopIteration as done:
            answer: Answer = done.value
            return answer

    def _still_answers(self) -> bool:
        """As one of all who wait has just found, or as is found now."""
        with Connection._asking:
            at, answers = Connection._answered
            if time.monotonic() - at > _HOLDS_S:
                answers = self._answers_now()
                Connection._answered = time.monotonic(), answers
            return answers

    def _answers_now(self) -> bool:
        until = time.monotonic() + _ANSWERS_WITHIN_S
        while True:
            try:
                Connection.connect(**self._asked | {"connect_timeout": _ANSWERS_WITHIN_S}).close()
            except psycopg.errors.ConnectionTimeout:
                return False
            except psycopg.OperationalError as problem:
                # Of a unix socket whose queue is full the system says so at once, and it is full of callers whom a
                # frozen server does not take in, or those of a moment.
                if os.strerror(errno.EAGAIN) in str(problem):
                    if time.monotonic() < until:
                        time.sleep(_INTERVAL_S)
                        continue
                    return False
                # It refuses (too many are there, it starts): it lives. Or it is gone, and this connection ends by
                # itself.
            return True


# Where Django looks up `connect`, and the classes of errors.
_driver = ModuleType("psycopg")
vars(_driver).update(vars(psycopg), connect=Connection.connect)


class DatabaseWrapper(base.DatabaseWrapper):
    """Opens such connections, and tells a COMMIT that was refused from one of which nothing is known."""

    Database = _driver

    def get_connection_params(self) -> dict[str, Any]:
        asked: dict[str, Any] = super().get_connection_params()
        bounds = [asked.get("options", "")]
        if Connection.gives_up:
            bounds.append(f"-c lock_timeout={LOCKED_MAX_MS}")
        if Connection.lets_go:
            bounds.append(f"-c idle_in_transaction_session_timeout={IDLE_MAX_MS}")
        asked["options"] = " ".join(bounds).strip()
        return asked

    def set_autocommit(self, autocommit: bool, *arguments: Any, **options: Any) -> None:
        """At the end of a transaction that was lost with its connection, Django would connect again for this alone:
        it waits for the server once more, and raises what it hears in place of what happened."""
        if self.connection is not None or not autocommit:
            super().set_autocommit(autocommit, *arguments, **options)

    def commit(self) -> None:
        try:
            super().commit()
        except (OperationalError, InterfaceError) as problem:
            if self.connection is not None and not self.connection.closed:
                raise  # the server itself said no
            raise CommitInDoubt(str(problem)) from problem
