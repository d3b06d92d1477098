"""Keyset pages: stable under insertion, index-backed, and bound to the query that began them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.utils.crypto import constant_time_compare, salted_hmac

from breakers.errors import FieldError, Invalid

LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
_MAC = 12
Row = TypeVar("Row", bound=Model)


def _fingerprint(query: Mapping[str, object]) -> str:
    said = {name: str(value) for name, value in sorted(query.items()) if value not in (None, "")}
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def encode(query: Mapping[str, object], position: Iterable[object]) -> str:
    """A cursor that stands after `position` in the results of `query`; signed, so that none can be made up."""
    keys = [at.isoformat() if isinstance(at, datetime) else at for at in position]
    text = json.dumps([_fingerprint(query), *keys], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mac(text) + text).decode().rstrip("=")


def _mac(text: bytes) -> bytes:
    return salted_hmac("panelboard.cursor", text, algorithm="sha256").digest()[:_MAC]


def decode(cursor: str, query: Mapping[str, object], types: Sequence[type]) -> list[Any]:
    """The position in a cursor; raises Invalid for another query's, or for what is no cursor."""
    try:
        sealed = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        mac, text = sealed[:_MAC], sealed[_MAC:]
        if not constant_time_compare(mac, _mac(text)):
            raise ValueError("not ours")
        fingerprint, *keys = json.loads(text)
        position = [
            datetime.fromisoformat(key) if kind is datetime else kind(key)
            for key, kind in zip(keys, types, strict=True)
        ]
    except (ValueError, TypeError) as problem:
        raise Invalid([FieldError(("cursor",), "is not a cursor of this list")]) from problem
    if fingerprint != _fingerprint(query):
        raise Invalid([FieldError(("cursor",), "belongs to another query")])
    return position


def page(
    rows: QuerySet[Row],
    *,
    order: Sequence[tuple[str, type]],
    newest_first: bool,
    limit: int,
    cursor: str | None,
    query: Mapping[str, object],
) -> tuple[list[Row], str | None]:
    """One page of `rows` and the cursor of the next, or None at the end. `order` ends in a unique field."""
    names = [name for name, _ in order]
    if cursor:
        position = decode(cursor, query, [kind for _, kind in order])
        step = "lt" if newest_first else "gt"
        after = Q()
        for depth, name in enumerate(names):
            same = {names[i]: position[i] for i in range(depth)}
            after |= Q(**same, **{f"{name}__{step}": position[depth]})
        # The first comparison alone lets the index start at the right place.
        rows = rows.filter(after, **{f"{names[0]}__{step}e": position[0]})
    sign = "-" if newest_first else ""
    found = list(rows.order_by(*(sign + name for name in names))[: limit + 1])
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], encode(query, [getattr(last, name) for name in names])
