"""`docs/rules.md` has every kind of rule with its params."""

from __future__ import annotations

import re

import msgspec
import pytest

from alerts.rules import rule_kinds
from tests.support.servers import ROOT

ROWS = dict(
    re.findall(r"^\| `(\w+)` \| (.*?) \|", (ROOT / "docs/rules.md").read_text(), re.MULTILINE)
)
rule_kinds.load()


@pytest.mark.parametrize("kind", rule_kinds.names())
def test_a_kind_of_rule_is_described_with_its_params(kind: str) -> None:
    said = re.findall(r"`(\w+)`", ROWS[kind])

    assert said == [one.encode_name for one in msgspec.structs.fields(rule_kinds.get(kind))]
