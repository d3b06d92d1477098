"""Runs every test that this machine can run, or those that are named.

.venv/bin/python scripts/test.py [path of a test] [options of pytest]
"""

from __future__ import annotations

import os
import subprocess
import sys

from setup import ROOT, env_for, node_and_npm

WORKERS = min(4, (os.cpu_count() or 2) + 1)
"""One more than processors, for tests wait now and then; each has servers of its own beside it, so not many more."""


def main(arguments: list[str]) -> int:
    node, _ = node_and_npm()
    command = [sys.executable, "-m", "pytest", "-n", str(WORKERS), *arguments]
    environment = env_for(node)
    # The tests start the program more than a hundred times: it is compiled once for all, whatever is wanted elsewhere.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
