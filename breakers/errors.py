"""What can go wrong with a call, named for what happened; rendered as problem+json in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class FieldError(NamedTuple):
    """One thing wrong with the input: where, and what."""

    loc: tuple[str | int, ...]
    msg: str


class CallError(Exception):
    """A call that cannot be served: `status` is HTTP's, `title` is for people."""

    status = 400
    title = "Bad request"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title


class Unauthenticated(CallError):
    status, title = 401, "Credentials are missing or wrong"


class Forbidden(CallError):
    status, title = 403, "Not allowed"


class NotFound(CallError):
    status, title = 404, "Not found"


class Conflict(CallError):
    status, title = 409, "Conflict"


class GuardForbids(Conflict):
    """A guard of the environment forbids the control call; `guard` is its name."""

    title = "A guard forbids it"

    def __init__(self, detail: str, *, guard: str) -> None:
        super().__init__(detail)
        self.guard = guard


class RevisionConflict(CallError):
    status, title = 412, "The revision has moved on"


class SetChanged(CallError):
    status, title = 412, "The set has changed"


class Invalid(CallError):
    """Input that was understood and is wrong; `errors` say where."""

    status, title = 422, "Invalid input"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(error.msg for error in errors))
        self.errors = tuple(errors)


class TryLater(CallError):
    """Nothing was stored; try again after `retry_after` seconds."""

    def __init__(self, detail: str = "", *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Overloaded(TryLater):
    """The server or its database cannot take it."""

    status, title = 503, "Temporarily unavailable"


class TooFast(TryLater):
    """The caller sends more than it may."""

    status, title = 429, "Too many events"
