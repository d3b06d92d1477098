"""What watching a breaker costs a guarded call: instrumented against bare, as a ratio.

    python benchmarks/sdk_overhead.py [--rounds 60] [--library purgatory]

Rounds of both kinds alternate, and the median of the rounds' ratios counts, so that a busy
machine disturbs both alike. Three functions: `trivial` returns its argument (all that is
measured is the breaker itself), `json` encodes and decodes a small order, `http` asks a server
on loopback. The panel is one that is down, and one that answers: both must cost the same.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import http.server
import json
import logging
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import aiobreaker
import circuitbreaker
import interlock
import panelboard_client
import purgatory
import pybreaker
from websockets.sync.server import ServerConnection, serve

ORDER = {"id": 17, "items": [{"sku": f"sku-{n}", "count": n, "price": n * 1.5} for n in range(12)]}


def trivial(value: int) -> int:
    return value


def encode(value: int) -> object:
    return json.loads(json.dumps({**ORDER, "id": value}))


@contextmanager
def http_server() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # one packet an answer, or delayed acks are all that is measured

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@contextmanager
def panel_that_answers() -> Iterator[str]:
    def answer(connection: ServerConnection) -> None:
        for text in connection:
            frame = json.loads(text)
            if frame["type"] == "hello":
                connection.send('{"type":"welcome","heartbeat":10,"desired":[]}')
            elif frame["type"] == "ping":
                connection.send('{"type":"pong"}')
            elif frame["type"] == "events":
                connection.send(json.dumps({"type": "ack", "batch": frame["batch"]}))

    with serve(answer, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


Way = Callable[[Callable[[int], object]], Callable[[], object]]
"""Guards a function as a service would; what it answers makes one call, or gives its coroutine."""


def by_pybreaker(panel: panelboard_client.Panel | None) -> Way:
    breaker = watched(panel, pybreaker.CircuitBreaker())
    return lambda func: partial(breaker.call, func, 1)


def by_circuitbreaker(panel: panelboard_client.Panel | None) -> Way:
    breaker = watched(panel, circuitbreaker.CircuitBreaker(name="watched"))
    return lambda func: partial(breaker(func), 1)


def by_aiobreaker(panel: panelboard_client.Panel | None) -> Way:
    breaker = watched(panel, aiobreaker.CircuitBreaker())
    return lambda func: partial(breaker.call_async, as_coroutine(func), 1)


def by_purgatory(panel: panelboard_client.Panel | None) -> Way:
    breaker = watched(panel, purgatory.SyncCircuitBreakerFactory().get_breaker("watched"))

    def guard(func: Callable[[int], object]) -> Callable[[], object]:
        def call() -> object:
            with breaker:
                return func(1)

        return call

    return guard


def by_interlock(panel: panelboard_client.Panel | None) -> Way:
    breaker = watched(panel, interlock.CircuitBreaker(name="watched"))
    return lambda func: partial(breaker.call_sync, func, 1)


WAYS: dict[str, Callable[[panelboard_client.Panel | None], Way]] = {
    "pybreaker": by_pybreaker,
    "circuitbreaker": by_circuitbreaker,
    "aiobreaker": by_aiobreaker,
    "purgatory": by_purgatory,
    "interlock": by_interlock,
}
ASYNC = {"aiobreaker"}


def watched(panel: panelboard_client.Panel | None, breaker: Any) -> Any:
    return breaker if panel is None else panel.watch(breaker, name="watched")


def as_coroutine(func: Callable[[int], object]) -> Callable[[int], Coroutine[Any, Any, object]]:
    async def coroutine(value: int) -> object:
        return func(value)

    return coroutine


def seconds(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def seconds_async(call: Callable[[], Any], times: int) -> float:
    async def all_of_them() -> float:
        began = time.perf_counter()
        for _ in range(times):
            await call()
        return (time.perf_counter() - began) / times

    return asyncio.run(all_of_them())


def burst(library: str, which: str, url: str) -> None:
    """A process that times its kind of call once for each line that it reads; "" is bare."""
    logging.disable(logging.CRITICAL)
    timed = seconds_async if library in ASYNC else seconds
    with ExitStack() as stack:
        panel = None
        if url:
            panel = stack.enter_context(
                panelboard_client.connect(url=url, api_key="k", service="bench")
            )
        way = WAYS[library](panel)
        if which == "http":
            port = stack.enter_context(http_server())
            connection = http.client.HTTPConnection("127.0.0.1", port)

            def ask(_: int) -> bytes:
                connection.request("GET", "/")
                return connection.getresponse().read()

            call, times = way(ask), 50
        else:
            call, times = (way(trivial), 10000) if which == "trivial" else (way(encode), 300)
        timed(call, times)
        for _ in sys.stdin:
            print(timed(call, times), flush=True)


def ratio(library: str, which: str, url: str, rounds: int) -> tuple[float, float, float]:
    """Microseconds bare and watched (best rounds), and the median ratio.

    A process for each kind: the interpreter specialises code to the objects that it has seen,
    and a service does not watch one breaker and leave its twin alone.
    """
    pairs = []
    with one_that_bursts(library, which, "") as bare, one_that_bursts(library, which, url) as other:
        for number in range(rounds):
            # Whoever goes first in a round has the colder cache.
            both = [bare, other] if number % 2 == 0 else [other, bare]
            first, second = (each() for each in both)
            pairs.append((first, second) if number % 2 == 0 else (second, first))
    middle = statistics.median(after / before for before, after in pairs)
    return min(b for b, _ in pairs) * 1e6, min(w for _, w in pairs) * 1e6, middle


@contextmanager
def one_that_bursts(library: str, which: str, url: str) -> Iterator[Callable[[], float]]:
    process = subprocess.Popen(
        [sys.executable, __file__, "--burst", library, which, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:

        def once() -> float:
            print(file=process.stdin, flush=True)
            return float(process.stdout.readline())  # type: ignore[union-attr]

        yield once
        process.stdin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--library", choices=WAYS, action="append", help="default: all")
    parser.add_argument("--burst", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.burst:
        burst(*options.burst)
        return
    print(
        f"{'library':14} {'panel':8} {'function':8} {'bare us':>10} {'watched us':>12} {'ratio':>8}"
    )
    with panel_that_answers() as answering:
        for library in options.library or WAYS:
            for panel, url in (("answers", answering), ("down", closed_port())):
                for which in ("trivial", "json", "http"):
                    found = ratio(library, which, url, options.rounds)
                    print(f"{library:14} {panel:8} {which:8}", end=" ")
                    print("{:10.2f} {:12.2f} {:8.3f}".format(*found), flush=True)


if __name__ == "__main__":
    main()
