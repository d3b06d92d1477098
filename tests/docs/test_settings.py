"""Each variable of the environment that is read is on the page for operators, and no other."""

from __future__ import annotations

import re

from dashboard.config import Config
from tests.support.servers import ROOT

OURS_ALONE = {"PANELBOARD_DEMO_KEY"}
"""Set by `up` for its own processes."""


def test_every_setting_is_documented() -> None:
    read = {
        str(field.validation_alias or name.upper()) for name, field in Config.model_fields.items()
    }

    page = (ROOT / "docs" / "operating.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))

    assert documented == read - OURS_ALONE
