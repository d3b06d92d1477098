"""What watching a breaker costs a guarded call: instrumented against bare, as a ratio.

    python benchmarks/sdk_overhead.py [--rounds 60]

Rounds of both kinds alternate, and the median of the rounds' ratios counts, so that a busy
machine disturbs both alike. Three functions: `trivial` returns its argument (all that is
measured is the breaker itself), `json` encodes and decodes a small order, `http` asks a server
on loopback. The panel is one that is down, and one that answers: both must cost the same.
"""

from __future__ import annotations

import argparse
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import panelboard_client
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


def seconds(call: Callable[..., object], func: Callable[..., object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call(func, 1)
    return (time.perf_counter() - began) / times


def ratio(
    bare: pybreaker.CircuitBreaker,
    watched: pybreaker.CircuitBreaker,
    func: Callable[..., object],
    *,
    times: int,
    rounds: int,
) -> tuple[float, float, float]:
    """Microseconds bare and watched (best rounds), and the median ratio."""
    pairs = []
    for number in range(rounds):
        # Whoever goes first in a round has the colder cache.
        both = [bare.call, watched.call]
        if number % 2:
            both.reverse()
        first, second = (seconds(call, func, times) for call in both)
        pairs.append((second, first) if number % 2 else (first, second))
    middle = statistics.median(after / before for before, after in pairs)
    return min(b for b, _ in pairs) * 1e6, min(w for _, w in pairs) * 1e6, middle


def measure(which: str, url: str, rounds: int) -> None:
    logging.disable(logging.CRITICAL)
    with panelboard_client.connect(url=url, api_key="k", service="bench") as panel:
        bare = pybreaker.CircuitBreaker()
        watched = panel.watch(pybreaker.CircuitBreaker(), name="watched")
        if which == "http":
            with http_server() as port:
                connection = http.client.HTTPConnection("127.0.0.1", port)

                def ask(_: int) -> bytes:
                    connection.request("GET", "/")
                    return connection.getresponse().read()

                found = ratio(bare, watched, ask, times=100, rounds=rounds)
        else:
            func, times = (trivial, 20000) if which == "trivial" else (encode, 1000)
            ratio(bare, watched, func, times=times, rounds=3)
            found = ratio(bare, watched, func, times=times, rounds=rounds)
    print("{:10.2f} {:12.2f} {:8.3f}".format(*found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--one", nargs=2, metavar=("FUNCTION", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(*options.one, options.rounds)
        return
    print(f"{'panel':8} {'function':8} {'bare us':>10} {'watched us':>12} {'ratio':>8}")
    with panel_that_answers() as answering:
        for panel, url in (("answers", answering), ("down", closed_port())):
            for which in ("trivial", "json", "http"):
                # A process each: the interpreter specialises code to what it has seen.
                print(f"{panel:8} {which:8}", end=" ", flush=True)
                subprocess.run(
                    [
                        sys.executable,
                        __file__,
                        "--rounds",
                        str(options.rounds),
                        "--one",
                        which,
                        url,
                    ],
                    check=True,
                )


if __name__ == "__main__":
    main()
