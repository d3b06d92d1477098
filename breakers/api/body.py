"""What a call says in its body."""

from __future__ import annotations

from pydantic import BaseModel


class Body(BaseModel):
    """An object, and nothing else. ninja's Schema reads attributes of whatever comes: to it a list is an object
    that leaves everything out, which for a call that sets limits means that it takes them all away."""
