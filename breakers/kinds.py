"""Kinds: one class per `kind`, found in the modules of a package and, for plug-ins, by entry points.

A kind is a frozen msgspec struct: its docstring and fields are its description, validation and schema.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

import msgspec

from breakers.errors import FieldError, Invalid


class Kind(msgspec.Struct, frozen=True):
    """What every kind has: the name by which users and rows know it."""

    kind = ""

    def problems(self) -> list[tuple[str, str]]:
        """What is wrong with the fields beyond their types: field and words."""
        return []


Base = TypeVar("Base", bound=Kind)
One = TypeVar("One", bound=type[Kind])


class UnknownKind(Exception):
    """No kind of this name; `known` are those there are."""

    def __init__(self, kind: str, known: Iterable[str]) -> None:
        super().__init__(f"no kind is named {kind!r}; there are: {', '.join(sorted(known))}")


class Kinds(Generic[Base]):
    """The kinds of one thing (rules, channels), by name."""

    def __init__(self, base: type[Base], *, package: str, group: str) -> None:
        self._base, self._package, self._group = base, package, group
        self._kinds: dict[str, type[Base]] = {}

    def register(self, cls: One) -> One:
        """Decorates a kind's class; two of one name are a mistake of the programmer."""
        assert cls.kind, f"{cls.__name__} has no kind"
        assert cls.kind not in self._kinds, f"two kinds are named {cls.kind!r}"
        added: type[Kind] = cls
        assert issubclass(added, self._base)
        self._kinds[cls.kind] = added
        return cls

    def load(self) -> None:
        """Imports every module of the package, then the plug-ins; harmless when repeated."""
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)
        for plugin in entry_points(group=self._group):
            plugin.load()

    def names(self) -> list[str]:
        return sorted(self._kinds)

    def get(self, kind: str) -> type[Base]:
        """Raises UnknownKind."""
        try:
            return self._kinds[kind]
        except KeyError:
            raise UnknownKind(kind, self._kinds) from None

    def read(self, kind: str, said: Mapping[str, Any], *, loc: str) -> Base:
        """A kind with its fields; raises Invalid with the place of the first that is wrong."""
        try:
            cls = self.get(kind)
        except UnknownKind as unknown:
            raise Invalid([FieldError(("kind",), str(unknown))]) from None
        try:
            return msgspec.convert(said, cls)
        except msgspec.ValidationError as wrong:
            raise Invalid([_field_error(wrong, loc)]) from None
        except UnicodeEncodeError:
            raise Invalid([FieldError((loc,), "must not hold half a surrogate pair")]) from None


_PATH = re.compile(r" - at `\$(?P<path>.*)`$")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]")


_MISSING = re.compile(r"Object missing required field `(?P<name>.+)`")
_TYPE = re.compile(r"Expected `(?P<type>\w+)(?: \| null)?`, got `\w+`")
_BOUND = re.compile(
    r"Expected `(?P<type>\w+)`(?P<long> of length)? (?P<than>>=|>|<=|<) (?P<bound>\S+)"
)
_THINGS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_THAN = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
_COUNTED = {"str": " characters", "array": " entries"}


def _field_error(wrong: msgspec.ValidationError, loc: str) -> FieldError:
    """msgspec says where in a JSON path at the end of its message, and what in words of Python."""
    text = str(wrong)
    found = _PATH.search(text)
    path: list[str | int] = [loc]
    if found:
        text = text[: found.start()]
        path.extend(step["name"] or int(step["index"]) for step in _STEP.finditer(found["path"]))
    if missing := _MISSING.fullmatch(text):
        return FieldError((*path, missing["name"]), "is required")
    return FieldError(tuple(path), _plain(text))


def _plain(text: str) -> str:
    """ "Expected `int` >= 2" -> "must be at least 2"; what is none of these stays as it is."""
    if (said := _TYPE.fullmatch(text)) and said["type"] in _THINGS:
        return f"must be {_THINGS[said['type']]}"
    if said := _BOUND.fullmatch(text):
        bound = said["bound"].removesuffix(".0")
        verb, unit = ("have", _COUNTED.get(said["type"], "")) if said["long"] else ("be", "")
        return f"must {verb} {_THAN[said['than']]} {bound}{unit}"
    return text
