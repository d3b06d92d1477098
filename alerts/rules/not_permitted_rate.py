from __future__ import annotations

from alerts.rates import RateKind
from alerts.rules import rule_kinds
from alerts.verdicts import Sample


@rule_kinds.register
class NotPermittedRate(RateKind, frozen=True):
    """Fires once so many percent of the calls that are tried are refused by the breaker in a live instance, by the snapshots that it sends."""

    kind = "not_permitted_rate"
    said = "calls refused"

    def rate_of(self, sample: Sample) -> float | None:
        return sample.not_permitted_rate
