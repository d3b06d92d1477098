from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["maintain_history", "up"])
def test_a_wrong_setting_is_told_by_its_name_in_a_line(command: str) -> None:
    wrong = {"PANELBOARD_RETENTION_DAYS": "3", "PANELBOARD_SNAPSHOT_RETENTION_DAYS": "some"}
    wrong["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"  # tests have their own

    ended = subprocess.run(
        [sys.executable, "manage.py", command],
        env=os.environ | wrong,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 1
    first, second = ended.stderr.strip().splitlines()[-2:]
    assert first.startswith("PANELBOARD_RETENTION_DAYS is not right: ")
    assert second.startswith("PANELBOARD_SNAPSHOT_RETENTION_DAYS is not right: ")
    assert "Traceback" not in ended.stderr
