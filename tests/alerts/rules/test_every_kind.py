"""What holds for every kind of rule and channel, those of plug-ins included."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from alerts.channels import channel_kinds
from alerts.rules import RuleKind, rule_kinds
from alerts.verdicts import CheckAt, Firing, Hold, Quiet
from breakers.errors import Invalid
from breakers.kinds import Kind
from breakers.states import State
from tests.alerts.views import T0, instance, view

EXAMPLES: dict[str, dict[str, Any]] = {"opened": {}}
"""Params with which a kind can be judged; a kind without any needs no entry but an empty one."""


def loaded() -> list[type[Kind]]:
    rule_kinds.load()
    channel_kinds.load()
    return [
        *(rule_kinds.get(name) for name in rule_kinds.names()),
        *(channel_kinds.get(name) for name in channel_kinds.names()),
    ]


@pytest.mark.parametrize("cls", loaded(), ids=lambda cls: cls.__name__)
def test_a_kind_describes_itself_and_has_a_schema(cls: type[Kind]):
    assert cls.__doc__
    assert cls.__doc__.strip().endswith(".")
    assert cls.kind.isidentifier()
    assert msgspec.json.schema(cls)["$ref"]


@pytest.mark.parametrize("kind", rule_kinds.names())
def test_a_rule_kind_judges_any_breaker_without_raising(kind: str):
    rule = rule_kinds.read(kind, EXAMPLES[kind], loc="params")
    assert isinstance(rule, RuleKind)

    for states in itertools.product(State, repeat=2):
        for live in itertools.product((True, False), repeat=2):
            seen = view(*(instance(s, live=alive) for s, alive in zip(states, live, strict=True)))
            assert isinstance(rule.judge(seen, T0), Quiet | Hold | CheckAt | Firing)
    assert rule.judge(view(), T0) == Hold()


@pytest.mark.parametrize(
    "cls", [cls for cls in loaded() if cls.__struct_fields__], ids=lambda cls: cls.__name__
)
def test_wrong_fields_are_told_by_their_place(cls: type[Kind]):
    kinds = rule_kinds if issubclass(cls, RuleKind) else channel_kinds

    with pytest.raises(Invalid) as raised:
        kinds.read(
            cls.kind, {name: {"no": "such"} for name in cls.__struct_encode_fields__}, loc="x"
        )

    loc = raised.value.errors[0].loc
    assert loc[:2] in {("x", name) for name in cls.__struct_encode_fields__}
