"""`GET breakers/ID/metrics`, as a caller sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.web import Web

NOW = datetime.now(UTC).replace(microsecond=0)
T0 = (NOW - timedelta(minutes=30)).replace(second=0)


def snapshot(seconds: int, **metrics: float) -> dict[str, Any]:
    return {
        "service": "orders",
        "breaker": "catalog",
        "environment": "prod",
        "type": "snapshot",
        "occurred_at": (T0 + timedelta(seconds=seconds)).isoformat(),
        "metrics": metrics,
    }


async def test_points_over_a_span_with_nulls_where_nothing_is_known(web: Web) -> None:
    await web.post_events(
        snapshot(60, calls=100, failed=25, slow=1, not_permitted=3, p50_ms=12.5, window=60),
        snapshot(180, calls=10, failed=0, window=60),
    )
    id = (await web.breaker("orders", "catalog"))["id"]

    told = await web.get(
        f"breakers/{id}/metrics",
        since=T0.isoformat(),
        until=(T0 + timedelta(minutes=3)).isoformat(),
        step=60,
    )

    points = told.pop("points")
    assert (told["breaker"], told["step"], told["source"]) == (id, 60, "snapshots")
    assert told["rolled_until"] is None
    assert points[0] == {
        "at": T0.isoformat().replace("+00:00", "Z"),
        "covered": 60,
        "calls": 100,
        "failed": 25,
        "slow": 1,
        "not_permitted": 3,
        "failure_rate": 25,
        "slow_rate": 1,
        "p50_ms": {"lowest": 12.5, "highest": 12.5},
        "p95_ms": None,
        "p99_ms": None,
    }
    assert {points[1][name] for name in points[1] if name not in ("at", "covered")} == {None}
    assert (points[2]["calls"], points[2]["failure_rate"]) == (10, 0)


async def test_steps_of_seconds_come_from_snapshots(web: Web) -> None:
    await web.post_events(snapshot(10, calls=10, window=10))
    id = (await web.breaker("orders", "catalog"))["id"]

    told = await web.get(
        f"breakers/{id}/metrics",
        since=T0.isoformat(),
        until=(T0 + timedelta(seconds=15)).isoformat(),
        step=5,
    )

    assert [point["calls"] for point in told["points"]] == [5, 5, None]


async def test_the_last_hour_is_the_default_and_a_day_comes_from_sums(web: Web) -> None:
    await web.post_events(snapshot(0, calls=1, window=10))
    id = (await web.breaker("orders", "catalog"))["id"]

    hour = await web.get(f"breakers/{id}/metrics")
    day = await web.get(
        f"breakers/{id}/metrics", since=(datetime.now(UTC) - timedelta(days=1)).isoformat()
    )

    assert (hour["step"], len(hour["points"])) == (15, 240)
    assert sum(point["calls"] or 0 for point in hour["points"]) == 1
    assert (day["source"], day["step"]) == ("minutes", 600)
    assert day["rolled_until"] is not None


async def test_what_is_asked_wrongly_is_told_exactly(web: Web) -> None:
    await web.post_events(snapshot(0, calls=1, window=10))
    id = (await web.breaker("orders", "catalog"))["id"]

    async def refused(**query: Any) -> tuple[int, Any]:
        answer = await web.http.get(
            f"/api/v1/breakers/{id}/metrics", params=query, headers=web.bearer()
        )
        return answer.status_code, answer.json().get("errors", [{}])[0]

    assert await refused(step=1) == (
        422,
        {"loc": ["step"], "msg": "must be at least 4 s here"},
    )
    assert await refused(since="yesterday") == (
        422,
        {"loc": ["since"], "msg": "must be a time as RFC 3339 has it, with its zone"},
    )
    assert (await refused(since="0001-01-01T00:00:00+14:00"))[0] == 422
    assert (await refused(until="9999-12-31T23:59:59-14:00"))[0] == 422
    assert (await refused(step="9" * 30))[0] == 422
    unknown = await web.http.get("/api/v1/breakers/x/metrics", headers=web.bearer())
    assert unknown.status_code == 404
