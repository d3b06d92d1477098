"""The shop itself, with no panel there: it runs, breaks, serves from cache, mends, and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0


def eventually(seen: Callable[[], Any], what: str) -> Any:
    """What `seen` answers once it is true. The shop is other processes: there is no event to await."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = seen()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


class Demo:
    def __init__(self, data_dir: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            closed = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.data_dir = data_dir
        self.env = {
            **os.environ,
            "PANELBOARD_URL": closed,
            "PANELBOARD_API_KEY": "a key of nobody",
            "PANELBOARD_DATA_DIR": str(data_dir),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo.run", "shop"],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.control = ""

    def wait_until_it_serves(self) -> None:
        assert self.process.stdout is not None
        line = next(told for told in self.process.stdout if told.startswith("Demo control page: "))
        self.control = json.loads((self.data_dir / "demo.json").read_text())["control"]
        assert line.strip() == f"Demo control page: {self.control}/"

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.control}/api/state", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def sources(self) -> list[str]:
        """What the last dozen customers got."""
        return [answer["source"] for answer in self.state()["systems"][0]["answers"][:12]]

    def wait_for_customers_with(self, source: str) -> None:
        eventually(lambda: self.sources() == [source] * 12, f"customers with {source}")

    def faults(self, *words: str, code: int = 0) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "demo.faults", *words],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        return ended.stdout if code == 0 else ended.stderr

    def post(self, path: str, **headers: str) -> int:
        request = urllib.request.Request(
            f"{self.control}{path}",
            data=b"{}",
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def children(self) -> list[int]:
        found = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout
        pairs = [tuple(map(int, line.split())) for line in found.splitlines()]
        return [pid for pid, parent in pairs if parent == self.process.pid]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Demo]]:
    started: list[Demo] = []

    def start_demo() -> Demo:
        started.append(Demo(tmp_path))
        started[-1].wait_until_it_serves()
        return started[-1]

    yield start_demo
    for demo in started:
        demo.end()


def customer_sees(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


@pytest.mark.parametrize("fault", ["catalog-errors", "catalog-slow"])
def test_a_broken_catalog_is_served_from_cache_until_it_is_mended(
    start: Callable[[], Demo], fault: str
) -> None:
    demo = start()
    demo.wait_for_customers_with("fresh")
    listed = {each["fault"]: each for each in json.loads(demo.faults("list"))}
    assert listed[fault]["system"] == "shop"
    assert listed[fault]["active"] is False
    assert listed[fault]["breakers"] == [{"service": "orders", "breaker": "catalog"}]
    customer_url = listed[fault]["customer_url"]

    demo.faults("shop", fault, "on")
    demo.wait_for_customers_with("cache")
    status, page = customer_sees(customer_url)
    assert (status, "Served from cache" in page, "Desk lamp" in page) == (200, True, True)
    assert {f["fault"] for f in json.loads(demo.faults("list")) if f["active"]} == {fault}
    # Open breakers refuse at once: no customer waits for a catalog that hangs.
    eventually(
        lambda: all(a["took_ms"] < 200 for a in demo.state()["systems"][0]["answers"][:6]),
        "quick answers",
    )

    demo.faults("shop", fault, "off")
    demo.wait_for_customers_with("fresh")
    assert "error" not in demo.sources()
    assert "Served from cache" not in customer_sees(customer_url)[1]


def test_without_users_the_customer_is_a_guest(start: Callable[[], Demo]) -> None:
    demo = start()
    demo.faults("shop", "users-errors", "on")
    url = json.loads(demo.faults("list"))[0]["customer_url"]

    eventually(lambda: "Good day, guest" in customer_sees(url)[1], "a guest")


def test_a_process_that_dies_is_started_again_and_hears_of_the_faults(
    start: Callable[[], Demo],
) -> None:
    demo = start()
    demo.wait_for_customers_with("fresh")
    demo.faults("shop", "catalog-errors", "on")
    demo.wait_for_customers_with("cache")
    before = set(demo.children())

    for pid in before:
        name = Path(f"/proc/{pid}/cmdline").read_text()
        if "catalog" in name:
            os.kill(pid, signal.SIGKILL)

    eventually(lambda: len(set(demo.children()) - before) == 2, "two new processes")
    demo.wait_for_customers_with("cache")


def test_it_ends_on_sigterm_and_leaves_nothing(start: Callable[[], Demo], tmp_path: Path) -> None:
    demo = start()
    children = demo.children()
    assert len(children) == 7

    demo.end()

    assert demo.process.returncode == 0
    assert not [pid for pid in children if alive(pid)]
    assert not (tmp_path / "demo.json").exists()
    assert "no demo runs" in demo.faults("list", code=1)


def test_its_processes_end_even_when_it_is_killed(start: Callable[[], Demo]) -> None:
    demo = start()
    children = demo.children()

    demo.process.kill()

    eventually(lambda: not [pid for pid in children if alive(pid)], "all to end")


def test_posts_of_other_sites_are_refused(start: Callable[[], Demo]) -> None:
    demo = start()
    host = demo.control.removeprefix("http://")

    assert demo.post("/api/mend", Origin="https://evil.example") == 403
    assert demo.post("/api/mend", Host="evil.example") == 403
    assert demo.post("/api/mend", **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert demo.post("/api/mend", **{"Content-Type": "text/plain"}) == 403
    assert demo.post("/api/mend", Origin=f"http://{host}") == 200


def test_an_unknown_fault_is_named_with_those_that_there_are(start: Callable[[], Demo]) -> None:
    demo = start()

    assert "catalog-errors" in demo.faults("shop", "catalog-error", "on", code=2)
    assert "shop" in demo.faults("weather", "catalog-errors", "on", code=2)
