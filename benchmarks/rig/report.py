"""What stands above and below the figures: the machine, the versions, and tables."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import psycopg

from rig.stack import Stack

_BLOCK = b"\0" * 8192
_VERSIONS = (
    "Django",
    "uvicorn",
    "uvloop",
    "httptools",
    "websockets",
    "psycopg",
    "msgspec",
    "celery",
)


def machine(stack: Stack) -> None:
    """Prints all that the figures depend on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores ({_processor()}), {pages:.0f} GiB, load {load:.1f} before")
    print(f"pwrite + fdatasync of 8 KiB in the data directory: {fsync_ms(stack.data_dir):.2f} ms")
    with psycopg.connect(stack.owner_url) as connection:
        server = connection.info.parameter_status("server_version")
    told = [f"{name} {version(name)}" for name in _VERSIONS]
    print(
        f"Python {platform.python_version()}, PostgreSQL {server}, {', '.join(told)}\n", flush=True
    )


def fsync_ms(folder: Path, times: int = 200) -> float:
    """Milliseconds that the disk takes for one small commit (median)."""
    path = folder / "fsync.probe"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(fd, _BLOCK * times, 0)
        os.fsync(fd)
        took = []
        for number in range(times):
            began = time.perf_counter()
            os.pwrite(fd, _BLOCK, number * len(_BLOCK))
            os.fdatasync(fd)
            took.append(time.perf_counter() - began)
    finally:
        os.close(fd)
        path.unlink()
    return statistics.median(took) * 1000


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Texts to the left, numbers to the right, and a blank line below."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    numeric = [not any(isinstance(row[column], str) for row in rows) for column in range(len(head))]
    for row in cells:
        print(
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, numeric, strict=True)
            ).rstrip()
        )
    print(flush=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
