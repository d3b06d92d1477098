"""A full disk under PostgreSQL: a clear 503 meanwhile, and afterwards all that was acknowledged, once."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from tests.support.eventually import eventually
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("faults")

DISK_MB = 320
LEFT_MB = 6
"""Less than the next segment of the write-ahead log."""
EACH = 100
BATCHES_MAX = 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which only root may mount."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=755", "tmpfs", str(place)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip("a full disk (no right to mount a small file system)")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def batch(number: int) -> list[dict[str, Any]]:
    noise = random.Random(number)
    return [
        {
            "service": "orders",
            "breaker": f"breaker-{place % 5}",
            "id": f"{number}:{place}",
            "occurred_at": datetime.now(UTC).isoformat(),
            "to": ("open", "closed")[place % 2],
            # Not to be compressed.
            "detail": "".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=1800)),
        }
        for place in range(EACH)
    ]


def test_a_full_disk_loses_nothing_that_was_acknowledged(
    small_disk: Path, make_stack: Callable[..., Stack]
) -> None:
    stack = make_stack(data_dir=small_disk / "data")
    ballast = small_disk / "ballast"
    room = shutil.disk_usage(small_disk).free - LEFT_MB * 2**20
    ballast.write_bytes(b"\0" * room)
    acknowledged: list[str] = []
    refused = 0

    with stack.client() as client:
        for number in itertools.count():
            assert number < BATCHES_MAX, "the disk never was full"
            events = batch(number)

            def stored(events: list[dict[str, Any]] = events) -> bool:
                nonlocal refused
                try:
                    answer = client.post("/api/v1/events", json=events)
                except httpx2.HTTPError:
                    return False
                if answer.status_code == 202:
                    return True
                assert answer.status_code == 503, answer.text
                assert "Retry-After" in answer.headers
                assert answer.headers["content-type"] == "application/problem+json"
                refused += 1
                # Somebody makes room.
                ballast.unlink(missing_ok=True)
                return False

            eventually(stored, within=60, every=0.2)
            acknowledged += [event["id"] for event in events]
            if refused:
                break

    eventually(stack.is_ready, within=30)
    with psycopg.connect(stack.run["database_url"]) as connection:
        kept = connection.execute("SELECT event_id, count(*) FROM event GROUP BY 1").fetchall()
    assert Counter(dict(kept)) == Counter(acknowledged)
    checked = stack.manage("rebuild_state", "--check")
    assert checked.returncode == 0, checked.stdout
