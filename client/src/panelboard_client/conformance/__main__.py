"""`python -m panelboard_client.conformance`: see the package."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import List, Optional

from panelboard_client.conformance import __doc__ as about
from panelboard_client.conformance.cast import Cast
from panelboard_client.conformance.play import play
from panelboard_client.conformance.report import BROKEN, RULES, Report, as_json, as_text
from panelboard_client.conformance.stage import Stage


def main(argv: Optional[List[str]] = None) -> int:
    """0: no rule is broken; 1: one is; 2: no agent came, or the arguments are wrong."""
    arguments = _parser().parse_args(argv)
    report = Report()

    def noticed(rule: str, wrong: Optional[str]) -> None:
        report.judge(rule, wrong is None, wrong or "")

    with Stage(
        host=arguments.host,
        port=arguments.port,
        key=arguments.key,
        heartbeat_s=arguments.heartbeat,
        noticed=noticed,
    ) as stage:
        _say(f"Listening at {stage.url}, with the key {stage.key}")
        agent = _start(arguments.command, stage) if arguments.command else None
        try:
            if stage.next_call(0, arguments.wait) is None:
                _say(f"No agent with a breaker has said hello within {arguments.wait:g} s.")
                return 2
            cast = Cast(
                stage,
                report,
                patience_s=arguments.patience,
                back_within_s=arguments.back_within,
            )
            play(cast, only=arguments.only)
        except KeyboardInterrupt:
            _say("Stopped; what was found so far:")
        finally:
            if agent is not None:
                _end(agent)
    verdicts = report.verdicts(arguments.only)
    print(json.dumps(as_json(verdicts), indent=2) if arguments.json else as_text(verdicts))
    return 1 if any(found.verdict == BROKEN for found in verdicts) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m panelboard_client.conformance",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port (default: a free one)")
    parser.add_argument("--key", default="", help="the key the agent has (default: made up)")
    parser.add_argument(
        "--wait", type=float, default=60, help="seconds for the agent to come (%(default)s)"
    )
    parser.add_argument(
        "--patience", type=float, default=5, help="seconds for an answer (%(default)s)"
    )
    parser.add_argument(
        "--back-within",
        type=float,
        default=35,
        help="seconds for it to connect again: it may wait 30 (%(default)s)",
    )
    parser.add_argument(
        "--heartbeat", type=float, default=1, help="seconds, in the welcome (%(default)s)"
    )
    parser.add_argument(
        "--only", action="append", choices=list(RULES), metavar="RULE", help="judge only this rule"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        help="starts the agent, with PANELBOARD_URL and PANELBOARD_API_KEY set",
    )
    return parser


def _start(command: List[str], stage: Stage) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PANELBOARD_URL": stage.url, "PANELBOARD_API_KEY": stage.key}
    words = command[1:] if command[0] == "--" else command
    return subprocess.Popen(words, env=environment, stdout=sys.stderr)  # noqa: S603 - that is asked for


def _end(agent: subprocess.Popen[bytes]) -> None:
    agent.terminate()
    try:
        agent.wait(10)
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
