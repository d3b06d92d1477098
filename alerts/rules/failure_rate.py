from __future__ import annotations

from alerts.rates import RateKind
from alerts.rules import rule_kinds
from alerts.verdicts import Sample


@rule_kinds.register
class FailureRate(RateKind, frozen=True):
    """Fires once so many percent of the calls fail in a live instance, by the snapshots that it sends."""

    kind = "failure_rate"
    said = "calls failing"

    def rate_of(self, sample: Sample) -> float | None:
        return sample.failure_rate
