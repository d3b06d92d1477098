"""Everything that is wrong with a JSON object which is no struct of the kind that it was taken for, each with its place.

msgspec says the first fault only, and of a number beyond all floats not where. So each member is decoded by itself.
What is told is bounded, for the answer goes back in one piece.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from breakers.errors import FieldError

_ECHOED_MAX = 80
_TOLD_MAX = 20
_LOOKED_AT_MAX = 100
"""Members of one mapping."""
_NULL = b"null"
_WHOLE = re.compile(rb"-?\d{1,16}\.0{1,16}")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


NESTED = FieldError((), "is nested too deeply")


class _Field(NamedTuple):
    name: str
    required: bool
    decode: Callable[[bytes], object]
    choices: tuple[str, ...]
    """The words that it may be, where it is one of some."""
    kind: type[msgspec.Struct] | None
    """Where it is an object with fields of its own."""
    is_mapping: bool


def mended(raw: msgspec.Raw, kind: type[msgspec.Struct]) -> bytes | None:
    """The object as it is meant: without members that are null, which mean the same as none, and with 1.0 as 1, for to
    some languages all numbers are floats. None where nothing is to be mended. Raises RecursionError."""
    try:
        said = _members(raw)
    except msgspec.ValidationError:
        return None
    inner = {field.name: field.kind for field in _fields_of(kind) if field.kind is not None}
    meant = {}
    for name, one in said.items():
        text = bytes(one)
        if _WHOLE.fullmatch(text):
            meant[name] = msgspec.Raw(text.partition(b".")[0])
        elif name in inner and text[:1] == b"{":
            meant[name] = msgspec.Raw(mended(one, inner[name]) or text)
        elif text != _NULL:
            meant[name] = one
    return _encode(meant) if meant != said else None


def explain(raw: bytes | msgspec.Raw, kind: type[msgspec.Struct]) -> list[FieldError]:
    """What is wrong with it, the first twenty. Raises msgspec.DecodeError where it is not JSON at all."""
    try:
        said = _members(raw)
        wrong = list(islice(_wrong_in(said, kind, ()), _TOLD_MAX))
    except msgspec.ValidationError:
        return [FieldError((), "expected an object")]
    except RecursionError:
        return [NESTED]
    return wrong or [FieldError((), "is not understood")]


def located(message: str, *within: str) -> FieldError:
    """msgspec says `… - at `$.calls``; the path becomes part of loc, after `within`."""
    text, _, path = message.partition(" - at `$")
    parts = [
        part for part in path.rstrip("`").replace("[", ".").replace("]", "").split(".") if part
    ]
    loc = tuple(int(part) if part.isdigit() else part for part in parts)
    return FieldError((*within, *loc), text)


def _wrong_in(
    said: Mapping[str, msgspec.Raw], kind: type[msgspec.Struct], place: tuple[str, ...]
) -> Iterator[FieldError]:
    for field in _fields_of(kind):
        if field.name in said:
            yield from _wrong_with(said[field.name], field, (*place, field.name))
        elif field.required:
            yield FieldError((*place, field.name), "is required")


def _wrong_with(raw: msgspec.Raw, field: _Field, place: tuple[str, ...]) -> Iterator[FieldError]:
    try:
        field.decode(raw)
    except RecursionError:
        yield NESTED._replace(loc=place)
    except msgspec.ValidationError as problem:
        first = bytes(raw)[:1]
        if first == b'"' and field.choices:
            word = msgspec.json.decode(raw, type=str)[:_ECHOED_MAX]
            yield FieldError(place, f"“{word}” is none of {', '.join(field.choices)}")
            return
        inner: Iterator[FieldError] = iter(())
        if first == b"{" and field.kind is not None:
            inner = _wrong_in(_members(raw), field.kind, place)
        elif first == b"{" and field.is_mapping:
            inner = _wrong_members(_members(raw), field, place)
        whole = located(str(problem), *place)
        yield next(inner, whole)
        yield from inner


def _wrong_members(
    said: Mapping[str, msgspec.Raw], field: _Field, place: tuple[str, ...]
) -> Iterator[FieldError]:
    for key, one in islice(said.items(), _LOOKED_AT_MAX):
        try:
            field.decode(_encode({key: one}))
        except msgspec.ValidationError as problem:
            text = str(problem).partition(" - at")[0]
            yield FieldError((*place, key[:_ECHOED_MAX]), text)


@cache
def _fields_of(kind: type[msgspec.Struct]) -> tuple[_Field, ...]:
    return tuple(
        _Field(
            field.encode_name,
            field.required,
            msgspec.json.Decoder(field.type).decode,
            tuple(word for part in _parts(field.type) for word in _words(part)),
            next((part for part in _parts(field.type) if _is_struct(part)), None),
            any(get_origin(part) is dict for part in _parts(field.type)),
        )
        for field in msgspec.structs.fields(kind)
    )


def _parts(kind: Any) -> list[Any]:
    """The type and all that it is made of, but what is inside of a mapping."""
    if get_origin(kind) in (dict, Literal):
        return [kind]
    return [kind, *(inner for part in get_args(kind) for inner in _parts(part))]


def _words(kind: Any) -> tuple[str, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
