"""Expanding a body whose size is counted while it expands, so that a bomb costs no more than a body may."""

from __future__ import annotations

import zlib

from breakers.asgi import TooLarge

_GZIP = 31  # zlib's window bits for a gzip member
_PIECE = 16 * 1024
"""Bytes that are given to zlib at once: what follows a member in them is copied."""
_MEMBERS_MAX = 1000
"""Each costs some 2 µs, however small it is, and a body has room for fifty thousand empty ones."""


class BadGzip(ValueError):
    """Not gzip, cut off, or followed by something else."""


def expand(body: bytes, *, limit: int) -> bytes:
    """The content of all gzip members in `body`. Raises TooLarge past `limit` bytes, BadGzip."""
    if not body:
        raise BadGzip("it is empty")
    parts: list[bytes] = []
    room, at, members = limit, 0, 0
    while at < len(body):
        members += 1
        if members > _MEMBERS_MAX:
            raise BadGzip(f"it has more than {_MEMBERS_MAX} members")
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            piece = body[at : at + _PIECE]
            if not piece:
                raise BadGzip("it is cut off")
            try:
                parts.append(member.decompress(piece, room + 1))
            except zlib.error as problem:
                raise BadGzip(str(problem)) from problem
            room -= len(parts[-1])
            if room < 0:
                raise TooLarge(f"At most {limit} bytes a request, expanded.")
            at += len(piece) - len(member.unused_data)
    return b"".join(parts)
