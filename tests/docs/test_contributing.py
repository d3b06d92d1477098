"""The example that CONTRIBUTING opens with is true: it registers, judges and passes its own test."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest

from alerts.rules import rule_kinds
from tests.support.servers import ROOT


def test_the_example_of_a_rule_kind_passes_its_own_test(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, test = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert (ROOT / "alerts/rules/open_for.py").read_text() == rule.split("\n", 1)[1]
    others = {name: kind for name, kind in rule_kinds._kinds.items() if name != "open_for"}
    monkeypatch.setattr(rule_kinds, "_kinds", others)
    module = ModuleType("alerts.rules.open_for")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(rule, "CONTRIBUTING.md, the rule", "exec"), module.__dict__)

    asserting: dict[str, object] = {}
    exec(compile(test, "CONTRIBUTING.md, its test", "exec"), asserting)
    tests = [found for name, found in asserting.items() if name.startswith("test_")]

    assert tests
    for found in tests:
        assert callable(found)
        found()
    assert rule_kinds.read("open_for", {"for": 60}, loc="params")
