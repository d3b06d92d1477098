"""A kind's docstring and fields as a form: a new kind needs no template of its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from alerts.spans import span
from breakers.kinds import Kind, Kinds, UnknownKind


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
    help: str = ""
    unit: str = ""
    least: str = ""
    most: str = ""
    step: str = "any"


@dataclass(frozen=True, slots=True)
class KindForm:
    kind: str
    description: str
    fields: list[KindField]


def form_of(cls: type[Kind], said: Mapping[str, object] | None = None) -> KindForm:
    """The kind by its struct; fields in the order in which they are written, filled with what is set."""
    return KindForm(
        cls.kind,
        (inspect.getdoc(cls) or "").replace("`", ""),
        [_field(field, said or {}) for field in msgspec.structs.fields(cls)],
    )


def form_if_there(kinds: Kinds[Any], kind: str, said: Mapping[str, object]) -> KindForm | None:
    """None where the kind is gone, with the plug-in that brought it."""
    try:
        return form_of(kinds.get(kind), said)
    except UnknownKind:
        return None


def settings_of(cls: type[Kind], said: Mapping[str, object]) -> list[str]:
    """What is set, a few words for each: "threshold 50%", "for 2 min"."""
    fields = [field for field in form_of(cls, said).fields if said.get(field.name) is not None]
    return [f"{field.name.replace('_', ' ')} {_with_unit(field)}" for field in fields]


def _with_unit(field: KindField) -> str:
    match field.unit:
        case "s":
            return span(int(field.value))
        case "%":
            return f"{float(field.value):g}%"
    return field.value


def _field(field: msgspec.structs.FieldInfo, said: Mapping[str, object]) -> KindField:
    default = None if field.default is msgspec.NODEFAULT else field.default
    kind, told = _plain(msgspec.inspect.type_info(field.type))
    bounds: dict[str, str] = {}
    if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        bounds = {"least": _bound(kind.ge), "most": _bound(kind.le)}
        if isinstance(kind, msgspec.inspect.IntType):
            bounds["step"] = "1"
    return KindField(
        name=field.encode_name,
        label=str(told.get("title", field.encode_name.replace("_", " "))),
        how=_how(kind),
        required=field.required,
        value=_text(said.get(field.encode_name, default)),
        help=str(told.get("description", "")),
        unit=str(told.get("unit", "")),
        **bounds,
    )


def _plain(kind: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, dict[str, object]]:
    """The type without “or nothing”, and what is told to people about it (`title`, `description` and `unit`)."""
    told: dict[str, object] = {}
    while isinstance(kind, msgspec.inspect.Metadata | msgspec.inspect.UnionType):
        if isinstance(kind, msgspec.inspect.Metadata):
            told |= (kind.extra_json_schema or {}) | (kind.extra or {})
            kind = kind.type
            continue
        some = [one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType)]
        if len(some) != 1:
            break
        kind = some[0]
    return kind, told


def _bound(bound: float | None) -> str:
    return "" if bound is None else f"{bound:g}"


def _text(value: object) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _how(kind: msgspec.inspect.Type) -> str:
    if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        return "number"
    if isinstance(kind, msgspec.inspect.BoolType):
        return "flag"
    if isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        return "list"
    return "text"
