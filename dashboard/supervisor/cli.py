"""The command line of `up`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from dashboard.arguments import count
from dashboard.arguments import port as port_number
from dashboard.config import of_environment
from dashboard.supervisor.output import Output
from dashboard.supervisor.run import Options, run
from demo.systems import SYSTEMS

ALONE = "shop"
"""The demo system that is meant where none is named."""
HELP = "Runs the whole system: PostgreSQL and Redis where no URL names them, web, worker and beat."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port",
        type=port_number,
        default=8000,
        help="port to listen on (%(default)s); 0: any free one",
    )
    parser.add_argument("--workers", type=count, default=1, help="web processes (%(default)s)")
    parser.add_argument(
        "--demo",
        nargs="*",
        metavar="SYSTEM",
        help=f"also run demo systems: {', '.join(SYSTEMS)} or all (alone: {ALONE})",
    )


def start(*, host: str, port: int, workers: int, demo: Sequence[str] | None) -> int:
    """Runs until someone wishes to stop; the exit code."""
    systems = () if demo is None else tuple(demo) or (ALONE,)
    unknown = [name for name in systems if name not in (*SYSTEMS, "all")]
    if unknown:
        there_is = ", ".join(SYSTEMS)
        Output().plain(
            f"Panelboard cannot start. There is no demo system {', '.join(unknown)}; there is {there_is}."
        )
        return 2
    options = Options(host=host, port=port, workers=workers, demo=systems)
    # Read afresh: what a run.json says is about an earlier run.
    return asyncio.run(run(options, of_environment(), Output()))


def main(arguments: Sequence[str]) -> int:
    """`manage.py up` without Django, which `up` itself needs nothing of: starts a second sooner, 30 MB less."""
    parser = argparse.ArgumentParser(prog="manage.py up", description=HELP)
    add_arguments(parser)
    asked = parser.parse_args(arguments)
    return start(host=asked.host, port=asked.port, workers=asked.workers, demo=asked.demo)
