from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from dashboard.crowd import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
allow_open_files()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("most", "warned"), [(2000, True), (4096, False)])
def test_a_web_process_takes_as_many_open_files_as_it_may_and_warns_of_few(
    most: int, warned: bool
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "1024", str(most)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    *log, limits = ended.stdout.splitlines()
    assert limits == f"({most}, {most})"
    assert any("few open files" in line for line in log) is warned
