"""How many requests of one event a second are answered after their commit, against a bare ASGI application.

    python benchmarks/ingest_single.py [--requests 20000] [--alerta FOLDER]

64 kept connections, each sending its next event when the last is answered. The peer, `bare`, decodes the same
JSON and answers with JSON (msgspec) on the same server with the same settings, and stores nothing. With
`--alerta`, also alerta-server (gunicorn, PostgreSQL), installed into a throw-away environment in that folder.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg
import uvloop
from rig.driver import Tally, drive, post
from rig.fleet import Fleet
from rig.report import machine, table
from rig.stack import KEY, Stack, bare, cpu_s, free_port, process, running, until

CONNECTIONS = 64
WITHIN_S = 120
TARGET, TARGET_ALERTA = 0.25, 40
STORED = b'{"accepted":1,"duplicates":0,"rejected":[]}'


class Measured(msgspec.Struct):
    """A run, and the cores that its server took (that of ours without PostgreSQL and the worker)."""

    tally: Tally
    cores: float

    def row(self, name: str, *ratio: float) -> list[object]:
        tally = self.tally
        latencies = [tally.percentile(50) * 1000, tally.percentile(99) * 1000]
        shares = [self.cores, tally.own_cpu_s / tally.took_s]
        return [name, tally.per_second, *latencies, *shares, *(ratio or ("", ""))]


def requests_of(lane: Iterator[bytes], count: int) -> list[bytes]:
    return [post("/api/v1/events", KEY, body) for body in itertools.islice(lane, count)]


def send(port: int, queues: list[list[bytes]], expected: bytes | None, pid: int) -> Measured:
    before = cpu_s(pid)
    lines = [iter(queue) for queue in queues]
    tally = uvloop.run(drive(port, lines, expected=expected, within_s=WITHIN_S))
    tally.check()
    return Measured(tally, (cpu_s(pid) - before) / tally.took_s)


def measure(stack: Stack, count: int) -> tuple[Measured, Measured]:
    """Ours, then the bare application with the same requests; each warm, which of ours is that it has heard of each
    breaker in each instance: a first word is stored at half the speed, and comes once."""
    each, fleet = -(-count // CONNECTIONS), Fleet()
    lanes = fleet.lanes(CONNECTIONS)
    heard_of = max(each // 10, fleet.longest_lane(CONNECTIONS)) + 1
    warm, queues = ([requests_of(lane, n) for lane in lanes] for n in (heard_of, each))
    web = stack.pid("web")
    send(stack.port, warm, STORED, web)
    stack.drain()
    ours = send(stack.port, queues, STORED, web)
    stack.drain()
    with bare("json", stack.env) as (port, pid):
        send(port, warm, STORED, pid)
        return ours, send(port, queues, STORED, pid)


# --- alerta-server ------------------------------------------------------------------------------


def install_alerta(folder: Path) -> Path:
    """The Python of an environment with alerta-server. Raises CalledProcessError."""
    python = folder / "alerta" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parent.parent)], check=True)
    packages = ("alerta-server", "gunicorn", "psycopg2-binary")
    pip = [str(python), "-m", "pip", "install", "--quiet", *packages]
    subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
    return python


@contextmanager
def alerta(stack: Stack, python: Path) -> Iterator[tuple[int, int]]:
    """Its port and process, on a database of its own in the same PostgreSQL, a worker process a core."""
    with psycopg.connect(stack.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE alerta")
    port = free_port()
    # Preloaded: each worker would make the tables, and be in the way of the others.
    server = ("-m", "gunicorn", "alerta:create_app()", "--preload", "--log-level", "error")
    shape = ("--workers", str(os.cpu_count()), "--keep-alive", "60", "--bind", f"127.0.0.1:{port}")
    threads = ("--worker-class", "gthread", "--threads", str(CONNECTIONS))
    env = {
        **stack.env,
        "DATABASE_URL": stack.superuser_url.rpartition("/")[0] + "/alerta",
        "AUTH_REQUIRED": "False",
        "SECRET_KEY": "a key of the benchmarks alone",
    }
    with process(str(python), *server, *shape, *threads, env=env) as running_server:
        until(lambda: answers(f"http://127.0.0.1:{port}/_"), "alerta does not answer", 60)
        yield port, running_server.pid


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def alerts_of(requests: list[bytes]) -> list[bytes]:
    """The same events as Alerta's alerts."""
    alerts = []
    for request in requests:
        event = msgspec.json.decode(request.partition(b"\r\n\r\n")[2])
        alert = {
            "environment": "Production",
            "service": [event["service"]],
            "resource": f"{event['instance']}/{event['breaker']}",
            "event": f"breaker_{event['to']}",
            "correlate": ["breaker_open", "breaker_half_open", "breaker_closed"],
            "severity": {"closed": "normal", "open": "critical"}.get(event["to"], "warning"),
            "text": event["reason"],
            "attributes": event["metrics"],
            "createTime": event["occurred_at"][:23].rstrip("Z") + "Z",
        }
        alerts.append(post("/alert", None, msgspec.json.encode(alert)))
    return alerts


def measure_alerta(stack: Stack, folder: Path, count: int) -> Measured:
    each = -(-count // CONNECTIONS)
    lanes = Fleet(seed=2).lanes(CONNECTIONS)
    warm, queues = ([alerts_of(requests_of(lane, n)) for lane in lanes] for n in (2, each))
    with alerta(stack, install_alerta(folder)) as (port, pid):
        send(port, warm, None, pid)
        return send(port, queues, None, pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000, help="(%(default)s)")
    parser.add_argument("--alerta", type=Path, metavar="FOLDER", help="where to install alerta")
    options = parser.parse_args()
    with running() as stack:
        machine(stack)
        stack.add_rule()
        ours, peer = measure(stack, options.requests)
        reached = ours.tally.per_second / peer.tally.per_second
        rows = [ours.row("Panelboard", reached, TARGET), peer.row("bare")]
        left_out = "alerta-server is not compared: name a folder for it with --alerta."
        if options.alerta is not None:
            try:
                other = measure_alerta(stack, options.alerta, options.requests // 20)
            except (subprocess.CalledProcessError, TimeoutError, RuntimeError) as problem:
                left_out = f"alerta-server is not compared: {problem}"
            else:
                times = ours.tally.per_second / other.tally.per_second
                rows.append(other.row("alerta-server", times, TARGET_ALERTA))
                left_out = ""
    table(
        ["", "requests/s", "p50 ms", "p99 ms", "server cores", "driver cores", "ratio", "target"],
        rows,
    )
    if left_out:
        print(left_out)


if __name__ == "__main__":
    main()
