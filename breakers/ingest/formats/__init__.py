"""The body formats of `POST /api/v1/events`: one content type a module, found here by what it serves.

A module has MEDIA_TYPES and `split(body, head) -> list[Item]`, which is pure and raises NotUnderstood for
a body that is not of its format at all.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache

from breakers.ingest.formats.item import Head, Item, NotUnderstood

__all__ = ["Head", "Item", "NotUnderstood", "Split", "formats"]

Split = Callable[[bytes, Head], list[Item]]


@cache
def formats() -> Mapping[str, Split]:
    """All formats by media type."""
    found: dict[str, Split] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        one = importlib.import_module(module.name)
        for media in getattr(one, "MEDIA_TYPES", ()):
            found[media] = one.split
    return found
