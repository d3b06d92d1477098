"""Spans of time as conditions are worded, and as kinds of rules take them. Pure."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MONTH_S = 30 * 86_400
IN_SECONDS, IN_PERCENT = {"unit": "s"}, {"unit": "%"}
"""What a number counts, as `extra` of its Meta, for pages that show it."""
Seconds = Annotated[int, Meta(ge=1, le=MONTH_S, extra=IN_SECONDS)]
"""At least a second: what should fire at once has a kind of its own."""


def span(seconds: int) -> str:
    """45 -> "45 s", 90 -> "1 min 30 s", 14400 -> "4 h", 100000 -> "1 d 3 h"."""
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    words = []
    for unit, length in units:
        count, seconds = divmod(seconds, length)
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words[:2]) or "0 s"
