"""Breaks and mends the running demo from the command line.

python -m demo.faults list
python -m demo.faults SYSTEM FAULT on|off
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
from typing import Any

from demo.announce import announced, data_dir
from demo.http import get_json, send_json

TIMEOUT_S = 10.0


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, 1 if no demo runs, 2 for a system or fault that there is not."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.faults",
        description="Breaks and mends the running demo; found by PANELBOARD_DATA_DIR.",
        usage="%(prog)s list | SYSTEM FAULT on|off",
    )
    parser.add_argument("words", nargs="+", help=argparse.SUPPRESS)
    words = parser.parse_args(arguments).words
    wanted = words == ["list"] or (len(words) == 3 and words[2] in ("on", "off"))
    if not wanted:
        parser.error("say `list`, or a system, a fault and on or off")
    demo = announced()
    if demo is None:
        return _fail(f"no demo runs with the data directory {data_dir()}", 1)
    try:
        if words == ["list"]:
            print(
                json.dumps(get_json(f"{demo['control']}/api/faults", timeout_s=TIMEOUT_S), indent=2)
            )
            return 0
        system, fault, switch = words
        body = {"system": system, "fault": fault, "on": switch == "on"}
        told: Any = send_json("POST", f"{demo['control']}/api/faults", body, timeout_s=TIMEOUT_S)
        print(json.dumps(told))
        return 0
    except urllib.error.HTTPError as error:
        detail = json.loads(error.read() or b"{}").get("detail", f"HTTP {error.code}")
        return _fail(str(detail), 2)
    except OSError as error:
        return _fail(f"the demo at {demo['control']} does not answer: {error}", 1)


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
