"""JSON in which half a surrogate pair stands, as a language with UTF-16 strings makes by cutting a text.

A decoder refuses the whole document for it. Here it becomes NUL, which is refused wherever it could be
stored: then the text at fault falls, and its neighbours stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

_Value = TypeVar("_Value")

# Escapes one by one, whole pairs first, so that a backslash that is itself escaped begins nothing.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def decode_leniently(decode: Callable[[bytes], _Value], body: bytes) -> _Value:
    """What `decode` makes of `body`, with NUL for half a pair. Raises what `decode` raises."""
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended = _ESCAPE.sub(lambda found: rb"\u0000" if found[1] else found[0], body)
        if mended == body:
            raise
        return decode(mended)
