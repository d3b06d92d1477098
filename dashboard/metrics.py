"""`/metrics` in Prometheus text: this process, and the whole system as the database knows it at the scrape.

Counters in the memory of several web processes would jump from scrape to scrape; what PostgreSQL counts is
the same whichever process answers. Open to all, so it names no service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from breakers.asgi import MethodNotAllowed, Receive, Scope, Send, answer, answer_problem
from dashboard.health import PARTS, Readiness

REMEMBERED_S = 1.0
"""One look serves every scrape within it."""


@dataclass(frozen=True)
class Gauge:
    """One figure, or one for each value of a label: the statement gives rows of (label, figure) or (figure)."""

    name: str
    help: str
    sql: str
    label: str | None = None


GAUGES = (
    Gauge("panelboard_services", "Services known.", "SELECT count(*) FROM service"),
    Gauge("panelboard_breakers", "Breakers known.", "SELECT count(*) FROM breaker"),
    Gauge(
        "panelboard_instances",
        "Instances that are not retired, by how they are heard.",
        """SELECT CASE WHEN lost_at IS NOT NULL THEN 'lost' WHEN connected IS NULL THEN 'events'
                       WHEN connected THEN 'connected' ELSE 'disconnected' END, count(*)
           FROM instance WHERE retired_at IS NULL GROUP BY 1""",
        label="heard",
    ),
    Gauge(
        "panelboard_breaker_instances",
        "Breakers inside live instances, by state.",
        """SELECT b.state, count(*) FROM breaker_instance b JOIN instance i ON i.id = b.instance_id
           WHERE i.retired_at IS NULL AND i.lost_at IS NULL AND b.left_at IS NULL GROUP BY 1""",
        label="state",
    ),
    Gauge(
        "panelboard_overrides",
        "Overrides that stand, by mode.",
        'SELECT mode, count(*) FROM "override" WHERE ended_at IS NULL GROUP BY 1',
        label="mode",
    ),
    Gauge(
        "panelboard_names_refused",
        "Events and agents' hellos refused so far because their key had made as many names as it may.",
        "SELECT coalesce(sum(names_refused), 0) FROM api_key",
    ),
    Gauge(
        "panelboard_outbox_rows",
        "Rows that rules have not judged yet, each with what happened to one breaker in one commit.",
        "SELECT count(*) FROM outbox",
    ),
    Gauge(
        "panelboard_outbox_age_seconds",
        "Age of the oldest of them; 0 if there is none.",
        "SELECT coalesce(extract(epoch FROM now() - min(committed_at)), 0) FROM outbox",
    ),
    Gauge(
        "panelboard_incidents_open",
        "Incidents that are not resolved, by severity.",
        "SELECT severity, count(*) FROM incident WHERE resolved_at IS NULL GROUP BY 1",
        label="severity",
    ),
    Gauge(
        "panelboard_deliveries_unsent",
        "Deliveries that wait for their next attempt, or were given up in the last day, by status.",
        """SELECT status, count(*) FROM delivery
           WHERE status = 'pending' OR (status = 'dead' AND finished_at > now() - interval '1 day')
           GROUP BY 1""",
        label="status",
    ),
)


class System(Collector):
    """The system as it was looked at last."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._families: list[GaugeMetricFamily] = []
        self._looked = float("-inf")
        self._lock = asyncio.Lock()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families

    async def look(self) -> None:
        """Asks the parts and the database; without the database, only the parts are told."""
        async with self._lock:
            if time.monotonic() - self._looked <= REMEMBERED_S:
                return
            missing = await self._readiness.missing()
            up = GaugeMetricFamily(
                "panelboard_part_up", "Whether a part answers (1) or not (0).", labels=["part"]
            )
            for name in PARTS:
                up.add_metric([name], 0.0 if name in missing else 1.0)
            try:
                async with asyncio.timeout(10):
                    self._families = [up, *await _gauges()]
            except (TimeoutError, OSError, psycopg.Error):
                self._families = [up]
            self._looked = time.monotonic()


async def _gauges() -> list[GaugeMetricFamily]:
    families = []
    connection = await psycopg.AsyncConnection.connect(
        settings.DATABASE_URL, connect_timeout=2, options="-c statement_timeout=5000"
    )
    async with connection:
        for gauge in GAUGES:
            family = GaugeMetricFamily(
                gauge.name, gauge.help, labels=[gauge.label] if gauge.label else []
            )
            cursor = await connection.execute(gauge.sql.encode())
            async for *labels, figure in cursor:
                family.add_metric([str(label) for label in labels], float(figure))
            families.append(family)
    return families


_system = System(Readiness(PARTS))
_registry = CollectorRegistry()
_registry.register(_system)


async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
    """What this process counts (memory, CPU, files), then the system."""
    if scope["method"] not in ("GET", "HEAD"):
        await answer_problem(send, MethodNotAllowed("GET, HEAD"))
        return
    await _system.look()
    body = generate_latest(REGISTRY) + generate_latest(_registry)
    await answer(send, 200, body, media=CONTENT_TYPE_LATEST.encode())
