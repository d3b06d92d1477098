"""Each benchmark runs, at a size of seconds: what is run once a month rots in between."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.rig.stack import KEY
from tests.support.servers import ROOT, outside_environment
from tests.support.stack import Stack, start_ready

pytestmark = pytest.mark.xdist_group("benchmarks")

SMALL = {
    "ingest_batch": ("--events", "1000"),
    "ingest_single": ("--requests", "256"),
    "fanout": ("--sockets", "12", "--seconds", "1"),
    "end_to_end": ("--sockets", "12", "--seconds", "1", "--per-second", "100"),
    "history": ("--events", "4000", "--rounds", "5"),
    "memory": ("--minutes", "0.05", "--rounds", "4", "--sockets", "3", "--per-second", "100"),
    # Of one web process, which need not be its own; `control` takes several.
    "growth": ("--events", "4000", "--breakers", "200", "--web", "1"),
    "fleet_breaker": (
        "--instances",
        "4",
        "--seconds",
        "2",
        "--reset",
        "1",
        "--fault",
        "one sick node",
    ),
    "control": (
        "--agents",
        "12",
        "--rounds",
        "2",
        "--every",
        "0.5",
        "--asked-for",
        "1",
        "--rest",
        "1",
    ),
    "sdk_overhead": ("--rounds", "1", "--library", "pybreaker"),
}


def test_none_is_left_out() -> None:
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} == set(SMALL)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """For all that need no system of their own."""
    data_dir = tmp_path_factory.mktemp("benchmarks") / "data"
    running = start_ready(data_dir, PANELBOARD_BOOTSTRAP_KEY=KEY)
    yield running
    running.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files. Not pytest's own, which PostgreSQL's account cannot enter."""
    with tempfile.TemporaryDirectory(prefix="panelboard-test-benchmarks-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("name", SMALL)
def test_it_prints_its_ratio_and_leaves_nothing_behind(
    name: str, folder: Path, stack: Stack
) -> None:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *SMALL[name]],
        cwd=ROOT,
        env={
            **outside_environment(),
            "TMPDIR": str(folder),
            "PANELBOARD_BENCHMARK_STACK": str(stack.data_dir),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ratio" in done.stdout
    assert list(folder.iterdir()) == []
