"""Probes and metrics: cheap, honest, open to all, and naming no service (CONTRACT, "Starting it")."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import psycopg
import pytest
import redis
from django.conf import settings
from prometheus_client.parser import text_string_to_metric_families

from dashboard import health
from dashboard.health import Readiness
from dashboard.metrics import GAUGES
from dashboard.signs import any_sign
from tests.support.eventually import eventually
from tests.support.stack import Stack


async def well() -> None:
    """A part that answers."""


def unwell(error: Exception) -> Callable[[], Awaitable[None]]:
    async def part() -> None:
        raise error

    return part


async def test_readiness_names_every_part_that_does_not_answer() -> None:
    parts = {
        "fine": well,
        "gone": unwell(ConnectionRefusedError()),
        "broken": unwell(psycopg.OperationalError()),
        "missed": unwell(LookupError()),
    }

    assert await Readiness(parts).missing() == ["gone", "broken", "missed"]


async def test_a_part_that_never_answers_costs_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "ASK_S", 0.01)
    forever = asyncio.Event()

    async def hangs() -> None:
        await forever.wait()

    assert await Readiness({"hung": hangs}).missing() == ["hung"]


async def test_a_flood_of_probes_is_one_look() -> None:
    looks = 0

    async def counted() -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)

    readiness = Readiness({"part": counted})
    await asyncio.gather(*(readiness.missing() for _ in range(100)))

    assert looks == 1


@pytest.mark.usefixtures("django_db_setup")
async def test_the_real_servers_answer_and_no_worker_does() -> None:
    await health.postgres_answers()
    await health.redis_answers()
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(any_sign("worker"))
        with pytest.raises(LookupError):
            await health.gives_sign("worker")
        client.set(any_sign("worker"), 1, px=10_000)
        await health.gives_sign("worker")
        client.delete(any_sign("worker"))


def test_a_running_system_is_alive_and_ready(live_stack: Stack) -> None:
    for path in ("/healthz", "/readyz"):
        answer = httpx2.get(f"{live_stack.url}{path}", timeout=30)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_are_only_read(live_stack: Stack, path: str) -> None:
    head = httpx2.head(f"{live_stack.url}{path}")
    assert (head.status_code, head.content) == (200, b"")

    answer = httpx2.post(f"{live_stack.url}{path}", timeout=30)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.headers["content-type"] == "application/problem+json"


def test_metrics_tell_the_system_and_name_no_service(live_stack: Stack) -> None:
    with live_stack.client() as client:
        sent = client.post(
            "/api/v1/events",
            json={"service": "only-in-metrics-test", "breaker": "unnamed", "to": "open"},
        )
        assert sent.status_code == 202

    assert eventually(
        lambda: _open_instances(live_stack) >= 1
    )  # a scrape is remembered for a second
    answer = httpx2.get(f"{live_stack.url}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert {gauge.name for gauge in GAUGES} <= set(families)
    parts = {
        sample.labels["part"]: sample.value for sample in families["panelboard_part_up"].samples
    }
    assert parts == {"postgresql": 1, "redis": 1, "worker": 1, "beat": 1}
    assert "process_resident_memory_bytes" in families
    assert "only-in-metrics-test" not in answer.text


def _open_instances(stack: Stack) -> float:
    text = httpx2.get(f"{stack.url}/metrics", timeout=30).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        if family.name == "panelboard_breaker_instances"
        for sample in family.samples
        if sample.labels["state"] == "open"
    )
