"""By what something goes beyond the ordinary. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Permit:
    """The guards that are broken for it, by the breaker's id, and the person who approved it; both may be none."""

    broke: Mapping[int, str] = field(default_factory=dict)
    approved_by: str | None = None

    def columns(self, breaker: int) -> dict[str, str | None]:
        """The fields of `Forced` for an override of this breaker."""
        return {"broke": self.broke.get(breaker), "approved_by": self.approved_by}


ORDINARY = Permit()
