"""Many values in PostgreSQL's own text forms: psycopg would dump each by itself, at about 4 µs a value. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

_COPY_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
NULL = r"\N"
"""What COPY reads as null."""


_times: dict[datetime, str] = {}
# Of a few groups: the same time stands in an event, its state and its outbox row.
_TIMES_MAX = 20_000


def time(at: datetime) -> str:
    """A time as text; written once, for that takes longer than all else about it."""
    text = _times.get(at)
    if text is None:
        if len(_times) >= _TIMES_MAX:
            _times.clear()
        text = _times[at] = str(at)
    return text


def array(values: list[Any]) -> str:
    """An array literal of numbers, truth values, times with zone, or texts; None is null.

    A column is put together as a whole wherever it can be: a step of Python for each value costs more than
    PostgreSQL's reading of it.
    """
    sample = next((value for value in values if value is not None), None)
    if isinstance(sample, str):
        return _texts(values)
    if isinstance(sample, datetime):
        times = [time(value) if isinstance(value, datetime) else "NULL" for value in values]
        return "{" + ",".join(times) + "}"
    return "{" + str(values)[1:-1].replace("None", "NULL") + "}"


def _texts(values: list[Any]) -> str:
    try:
        joined = '","'.join(values)
    except TypeError:  # with a null among them
        return "{" + ",".join(map(_quoted, values)) + "}"
    if "\\" in joined or joined.count('"') > 2 * len(values) - 2:
        return "{" + ",".join(map(_quoted, values)) + "}"
    return f'{{"{joined}"}}'


def _quoted(text: str | None) -> str:
    if text is None:
        return "NULL"
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if '"' in text:
        text = text.replace('"', '\\"')
    return f'"{text}"'


def field(text: str | None) -> str:
    """A text as a column of a line of COPY."""
    if text is None:
        return NULL
    # Almost all texts are printable and without a backslash, and then stand for themselves.
    if text.isprintable() and "\\" not in text:
        return text
    return text.translate(_COPY_ESCAPES)
