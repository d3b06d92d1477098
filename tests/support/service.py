"""The program of a service: the SDK guards its breakers, which go on being called.

Prints a line "NAME through" or "NAME refused" of each breaker whenever that is news, until it is killed. The panel is
named by the environment, the breakers by the arguments.
"""

from __future__ import annotations

import sys
import time

import panelboard_client
import pybreaker

_CALL_EVERY_S = 0.02


def main() -> None:
    panel = panelboard_client.connect()
    breakers = {name: panel.watch(pybreaker.CircuitBreaker(), name=name) for name in sys.argv[1:]}
    last: dict[str, str] = {}
    while True:
        for name, breaker in breakers.items():
            try:
                breaker.call(lambda: None)
                outcome = "through"
            except pybreaker.CircuitBreakerError:
                outcome = "refused"
            if last.get(name) != outcome:
                last[name] = outcome
                print(name, outcome, flush=True)
        time.sleep(_CALL_EVERY_S)


if __name__ == "__main__":
    main()
