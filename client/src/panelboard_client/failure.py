"""The failure behind a state change, in a line for whoever reads why it opened."""

from __future__ import annotations

import sys
from typing import Optional

TEXT_MAX = 200
"""Of an exception's text, which may be anything: enough to know it by."""


def in_hand() -> Optional[BaseException]:
    """The exception that this thread is handling: the libraries open while they handle the last
    one, and most of them pass it on to nobody."""
    return sys.exc_info()[1]


def last(error: Optional[BaseException]) -> str:
    """`; the last: TimeoutError: no answer`, to go behind a sentence; nothing for None."""
    if error is None:
        return ""
    name = type(error).__name__
    try:
        text = " ".join(str(error)[: 4 * TEXT_MAX].split())[:TEXT_MAX]
    except Exception:  # somebody's __str__, in somebody's call
        text = ""
    return f"; the last: {name}: {text}" if text else f"; the last: {name}"
