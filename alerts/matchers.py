"""Matchers: `service=~"ord.*"`. Pure; rules and silences share them.

Four operators, all of which must hold; expressions are RE2 (linear in time) and must match the whole
value; a label that a breaker instance does not have is the empty string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import re2

MATCHERS_MAX = 20
TEXT_MAX = 500
_MEMORY_MAX = 1 << 20  # of one compiled expression; RE2's own default is 8 MiB

_FORM = re.compile(
    r"""\s*(?P<label>[A-Za-z_][A-Za-z0-9_.\-/]*)\s*
        (?P<operator>=~|!~|!=|=)\s*
        "(?P<value>(?:[^"\\]|\\.)*)"\s*""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN = {"n": "\n", '"': '"', "\\": "\\"}


class Operator(StrEnum):
    IS = "="
    IS_NOT = "!="
    MATCHES = "=~"
    MATCHES_NOT = "!~"


class BadMatcher(ValueError):
    """The text is no matcher; the message says why, in words for people."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One comparison of one label."""

    label: str
    operator: Operator
    value: str
    _expression: object = field(default=None, compare=False, repr=False)

    def holds(self, labels: Mapping[str, str]) -> bool:
        said = labels.get(self.label, "")
        match self.operator:
            case Operator.IS:
                return said == self.value
            case Operator.IS_NOT:
                return said != self.value
            case Operator.MATCHES:
                return self._matches(said)
            case Operator.MATCHES_NOT:
                return not self._matches(said)

    def _matches(self, said: str) -> bool:
        return self._expression.fullmatch(said) is not None  # type: ignore[attr-defined]  # RE2 has no types

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.operator}"{escaped}"'


def parse_matcher(text: str) -> Matcher:
    """Raises BadMatcher."""
    if len(text) > TEXT_MAX:
        raise BadMatcher(f"is longer than {TEXT_MAX} characters")
    if any(not (sign.isprintable() or sign.isspace()) or sign == "\0" for sign in text):
        raise BadMatcher("holds characters that cannot be printed")
    found = _FORM.fullmatch(text)
    if found is None:
        raise BadMatcher('is not of the form label="value", with one of = != =~ !~')
    operator = Operator(found["operator"])
    value = _ESCAPED.sub(_unescaped_in(operator), found["value"])
    expression = None
    if operator in (Operator.MATCHES, Operator.MATCHES_NOT):
        expression = _compiled(value)
    return Matcher(found["label"], operator, value, expression)


def parse_matchers(texts: Sequence[str]) -> tuple[Matcher, ...]:
    """Raises BadMatcher."""
    if len(texts) > MATCHERS_MAX:
        raise BadMatcher(f"there are more than {MATCHERS_MAX}")
    return tuple(parse_matcher(text) for text in texts)


def all_hold(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """True of no matchers: they narrow, and nothing narrows nothing."""
    return all(matcher.holds(labels) for matcher in matchers)


def _unescaped_in(operator: Operator) -> _Unescape:
    return _Unescape(expression=operator in (Operator.MATCHES, Operator.MATCHES_NOT))


@dataclass(frozen=True, slots=True)
class _Unescape:
    """What stands for an escaped character. Within expressions `\\d` and its like are RE2's to read."""

    expression: bool

    def __call__(self, found: re.Match[str]) -> str:
        sign = found[1]
        if sign in _PLAIN:
            return _PLAIN[sign]
        if self.expression:
            return found[0]
        raise BadMatcher(f"has an unknown escape, \\{sign}")


def _compiled(pattern: str) -> object:
    options = re2.Options()
    options.max_mem = _MEMORY_MAX
    options.never_capture = True
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as problem:
        said = problem.args[0]
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise BadMatcher(f"is not a regular expression (RE2): {text}") from None
