"""What holds for every kind of rule and channel, those of plug-ins included."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from alerts.channels import channel_kinds
from alerts.rules import RuleKind, rule_kinds
from alerts.verdicts import CheckAt, Firing, Hold, Quiet, Sample
from breakers.errors import Invalid
from breakers.kinds import Kind
from breakers.states import State
from dashboard.pages.forms_of_kinds import KindField, form_of
from tests.alerts.views import T0, instance, override, view

EXAMPLES: dict[str, dict[str, Any]] = {
    "break_glass": {},
    "failure_rate": {"threshold": 50, "for": 60},
    "flapping": {"trips": 3, "window": 600},
    "half_open_for": {"for": 60},
    "instance_lost": {},
    "not_permitted_rate": {"threshold": 50, "for": 60},
    "open_for": {"for": 60},
    "open_instances": {"percent": 50},
    "opened": {},
    "override_age": {"for": 60},
    "override_expiring": {"within": 60},
    "override_unapplied": {"for": 60},
    "slow_rate": {"threshold": 50, "for": 60},
}
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

    history: list[dict[str, Any]] = [
        {},
        {"trips": (T0,) * 3},
        {"samples": (Sample(T0, 90.0, 90.0, 90.0),)},
        {"samples": (Sample(T0),), "lost": True, "since": None, "outage_since": None},
    ]
    for states in itertools.product(State, repeat=2):
        for live, more in itertools.product((True, False), history):
            for wished in (None, override(), override(expires_at=T0, instances=("b",))):
                seen = view(
                    instance(states[0], live=live, **more), instance(states[1]), override=wished
                )
                assert isinstance(rule.judge(seen, T0), Quiet | Hold | CheckAt | Firing)


@pytest.mark.parametrize("kind", rule_kinds.names())
def test_where_no_instance_is_left_nobody_says_that_it_is_well(kind: str):
    """But for what is wished of a breaker, which needs no instance to be so."""
    rule = rule_kinds.read(kind, EXAMPLES[kind], loc="params")

    verdict = rule.judge(view(), T0)

    assert verdict == (Quiet() if kind.startswith(("override_", "break_glass")) else Hold())


@pytest.mark.parametrize("kind", rule_kinds.names())
def test_a_rule_kind_asks_to_be_asked_again_later_only(kind: str):
    """Else a breaker would be judged again and again at once."""
    rule = rule_kinds.read(kind, EXAMPLES[kind], loc="params")

    for state, ago in itertools.product(State, (0, 30, 59, 60, 61, 130, 601)):
        now = T0 + timedelta(seconds=ago)
        seen = instance(state, trips=(T0,) * 3, samples=(Sample(T0, 90.0, 90.0, 90.0),), applied=0)
        wished = override(expires_at=T0 + timedelta(seconds=120))
        verdict = rule.judge(view(seen, override=wished), now)
        match verdict:
            case CheckAt(due):
                assert due > now
            case Quiet(again) | Firing(again=again):
                assert again is None or again > now


@pytest.mark.parametrize(
    "field", [field for cls in loaded() for field in form_of(cls).fields], ids=lambda one: one.name
)
def test_every_field_has_words_for_people(field: KindField):
    assert field.label
    assert field.label == field.label.strip()


@pytest.mark.parametrize("kind", rule_kinds.names())
def test_every_param_of_a_rule_says_what_it_means(kind: str):
    for field in form_of(rule_kinds.get(kind)).fields:
        assert field.help.endswith(".")
        assert field.how == "number"


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


@pytest.mark.parametrize("kind", [kind for kind, params in EXAMPLES.items() if params])
@pytest.mark.parametrize("wrong", ["60", True, [60]])
def test_a_param_of_the_wrong_type_is_refused_with_its_place(kind: str, wrong: object):
    for name in EXAMPLES[kind]:
        with pytest.raises(Invalid) as refused:
            rule_kinds.read(kind, EXAMPLES[kind] | {name: wrong}, loc="params")
        assert refused.value.errors[0].loc == ("params", name)


@pytest.mark.parametrize("params", [{"for": "\ud800"}, {"\ud800": 1, "for": 60}])
def test_half_a_surrogate_pair_is_refused_like_any_other_odd_word(params: dict[str, Any]):
    with pytest.raises(Invalid) as wrong:
        rule_kinds.read("open_for", params, loc="params")

    assert wrong.value.errors[0].loc[0] == "params"
