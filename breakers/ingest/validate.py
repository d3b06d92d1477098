"""From decoded JSON to events that can be stored, or to the exact reasons why not. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from breakers.errors import FieldError
from breakers.ingest.explain import NESTED, explain, mended
from breakers.ingest.unnamed import Unnamed
from breakers.states import State
from breakers.wire import DETAIL_MAX, EventBody, EventIn, Happened

OLDEST = timedelta(days=7)
AHEAD = timedelta(minutes=5)
WAIT_MAX = timedelta(days=1)
# A breaker that nobody calls says for as long as it lives when its probe was due.
WAITED_MAX = timedelta(days=365)
_STEP = timedelta(microseconds=1)
_unnamed = Unnamed()
_STATES = {state.value: state for state in State}
_Body = TypeVar("_Body", bound=EventBody)

# Names are what people read and type; a control character in one is a mistake or a trick.
_PRINTABLE = (
    "service",
    "environment",
    "instance",
    "breaker",
    "id",
    "boot",
    "reason",
    "target",
    "library",
)


class Clock:
    """Gives each event without a time one that is later than its predecessor's in the request."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.oldest, self.latest = now - OLDEST, now + AHEAD
        self._last: datetime | None = None

    def time_of(self, said: datetime | None) -> datetime:
        if said is None:
            said = self.now if self._last is None else max(self.now, self._last + _STEP)
        return said

    def passed(self, at: datetime) -> None:
        """An event of this time is let in; one that is refused has no say in when the next one was."""
        self._last = at


def decoder_of(kind: type[_Body]) -> Callable[[msgspec.Raw], _Body | list[FieldError]]:
    """A function from one raw JSON value to a struct of `kind`, or to everything wrong with it.

    The fast path is one typed decode; only what fails it is looked at field by field.
    Raises msgspec.DecodeError where the text is not JSON at all.
    """
    decode = msgspec.json.Decoder(kind).decode

    def read(raw: msgspec.Raw) -> _Body | list[FieldError]:
        try:
            try:
                body = decode(raw)
            except msgspec.ValidationError:
                return read_with_care(raw)
        except RecursionError:
            return [NESTED]
        if is_plain(bytes(raw)):
            return body
        return _unprintable(body) or body

    def read_with_care(raw: msgspec.Raw) -> _Body | list[FieldError]:
        """As it is meant, or everything that is still wrong."""
        kept = mended(raw, kind)
        if kept is not None:
            try:
                body = decode(kept)
            except msgspec.ValidationError:
                return explain(kept, kind)
            return _unprintable(body) or body
        return explain(raw, kind)

    return read


def is_plain(text: bytes) -> bool:
    """Whether no text in this JSON can hold what is not printable: below a space nothing stands in JSON but escaped."""
    # A byte is looked for in a fifth of the time of a text of one byte.
    return text.isascii() and ord("\\") not in text and 0x7F not in text


def _unprintable(body: EventBody) -> list[FieldError]:
    if _all_said(body).isprintable():
        return []
    errors = []
    for name in _PRINTABLE:
        value = getattr(body, name, None)
        if value and not value.isprintable():
            errors.append(FieldError((name,), "must be printable characters only"))
    for key, value in (body.labels or {}).items():
        if not (key.isprintable() and value.isprintable()):
            errors.append(FieldError(("labels", key), "must be printable characters only"))
    if body.detail and not storable(body.detail):
        errors.append(FieldError(("detail",), "must not hold NUL or half a surrogate pair"))
    return errors


def _all_said(body: EventBody) -> str:
    """Every text in one: looked at once, it is almost always in order."""
    said = f"{body.breaker}{body.id or ''}{body.reason or ''}{body.target or ''}{body.library or ''}{body.detail or ''}"
    if isinstance(body, EventIn):
        said += f"{body.service}{body.environment or ''}{body.instance}{body.boot or ''}"
    if body.labels:
        said += "".join([*body.labels, *body.labels.values()])
    return said


def storable(text: str) -> bool:
    """Whether PostgreSQL can hold the text at all."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def happened(
    body: EventBody,
    *,
    environment: str,
    service: str,
    instance: str,
    boot: str | None,
    clock: Clock,
) -> Happened | list[FieldError]:
    """The event as it will be stored, or why it cannot be."""
    errors = []
    if body.type == "state_change" and body.to is None:
        errors.append(FieldError(("to",), "is required for a state change"))
    at = clock.time_of(body.occurred_at)
    if body.occurred_at is not None:
        if at < clock.oldest:
            errors.append(FieldError(("occurred_at",), "is older than 7 days"))
        elif at > clock.latest:
            errors.append(FieldError(("occurred_at",), "is more than 5 minutes ahead"))
    if body.probe_due_at is not None:
        # Against the event's own time: both are by one clock, whatever that says.
        wrong = amiss_in_due(body.probe_due_at, at=at)
        if wrong:
            errors.append(FieldError(("probe_due_at",), wrong))
    if errors:
        return errors
    clock.passed(at)
    return Happened(
        environment=environment,
        service=service,
        instance=instance,
        breaker=body.breaker,
        type=body.type,
        event_id=body.id or _unnamed.next(),
        named=body.id is not None,
        timed=body.occurred_at is not None,
        occurred_at=at.astimezone(UTC),
        to=_STATES[body.to] if body.to and body.type == "state_change" else None,
        from_=_STATES[body.from_] if body.from_ and body.type == "state_change" else None,
        natural_state=_STATES[body.natural_state] if body.natural_state else None,
        boot=boot,
        seq=body.seq,
        cause=body.cause,
        reason=body.reason or None,
        detail=body.detail[:DETAIL_MAX] if body.detail else None,
        target=body.target or None,
        library=body.library or None,
        labels=body.labels or None,
        metrics=body.metrics,
        probe_due_at=body.probe_due_at and body.probe_due_at.astimezone(UTC),
    )


def amiss_in_due(due: datetime | None, *, at: datetime) -> str | None:
    """What is wrong with the time of a probe that is said at `at`, if anything is."""
    if due is None:
        return None
    # By differences, for a sum could leave the calendar.
    if due - at > WAIT_MAX:
        return "is more than a day after the event"
    return "is more than a year before the event" if at - due > WAITED_MAX else None


def enveloped(
    event: EventIn, *, id: str, occurred_at: datetime | None
) -> EventIn | list[FieldError]:
    """The event with the id, and the time if there is one, of its envelope."""
    if not id.isprintable():
        return [FieldError(("id",), "must be printable characters only")]
    at = occurred_at or event.occurred_at
    return msgspec.structs.replace(event, id=id, occurred_at=at)


def happened_from_api(
    event: EventIn, *, default_environment: str, clock: Clock
) -> Happened | list[FieldError]:
    """The same for an event that names its own service and instance."""
    return happened(
        event,
        environment=event.environment or default_environment,
        service=event.service,
        instance=event.instance,
        boot=event.boot,
        clock=clock,
    )
