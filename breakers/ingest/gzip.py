"""Expanding a body whose size is counted while it expands, so that a bomb costs no more than a body may."""

from __future__ import annotations

import zlib

from breakers.asgi import TooLarge

_GZIP = 31  # zlib's window bits for a gzip member


class BadGzip(ValueError):
    """Not gzip, cut off, or followed by something else."""


def expand(body: bytes, *, limit: int) -> bytes:
    """The content of all gzip members in `body`. Raises TooLarge past `limit` bytes, BadGzip."""
    parts: list[bytes] = []
    room = limit
    while body:
        member = zlib.decompressobj(_GZIP)
        try:
            part = member.decompress(body, room + 1)
        except zlib.error as problem:
            raise BadGzip(str(problem)) from problem
        room -= len(part)
        if room < 0:
            raise TooLarge(f"At most {limit} bytes a request, expanded.")
        if not member.eof:
            raise BadGzip("it is cut off")
        parts.append(part)
        body = member.unused_data
    if not parts:
        raise BadGzip("it is empty")
    return b"".join(parts)
