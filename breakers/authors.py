"""How whoever wished something is called. Pure."""

from __future__ import annotations


def author_words(kind: str, name: str) -> str:
    """A person, and the panel itself, by name alone: "ana"; others by what they are, too: "policy checkout", "key ci"."""
    return f"{kind} {name}" if kind in ("policy", "key") else name
