"""A kind's docstring and fields as a form: a new kind needs no template of its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from breakers.kinds import Kind


@dataclass(frozen=True, slots=True)
class KindField:
    """One input. `how` is what the page's script makes of its text: text, number, flag or list.

    A secret that is set reads as stars, which keep it.
    """

    name: str
    label: str
    how: str
    required: bool
    value: str


@dataclass(frozen=True, slots=True)
class KindForm:
    kind: str
    description: str
    fields: list[KindField]


def form_of(cls: type[Kind], said: Mapping[str, object] | None = None) -> KindForm:
    """The kind by its struct; fields in the order in which they are written, filled with what is set."""
    return KindForm(
        cls.kind,
        inspect.getdoc(cls) or "",
        [_field(field, said or {}) for field in msgspec.structs.fields(cls)],
    )


def _field(field: msgspec.structs.FieldInfo, said: Mapping[str, object]) -> KindField:
    default = None if field.default is msgspec.NODEFAULT else field.default
    return KindField(
        name=field.encode_name,
        label=field.encode_name.replace("_", " "),
        how=_how(msgspec.inspect.type_info(field.type)),
        required=field.required,
        value=_text(said.get(field.encode_name, default)),
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _how(kind: msgspec.inspect.Type) -> str:
    if isinstance(kind, msgspec.inspect.UnionType):
        kind = next(
            (one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType)), kind
        )
    if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        return "number"
    if isinstance(kind, msgspec.inspect.BoolType):
        return "flag"
    if isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        return "list"
    return "text"
