from __future__ import annotations

from alerts.rates import RateKind
from alerts.rules import rule_kinds
from alerts.verdicts import Sample


@rule_kinds.register
class SlowRate(RateKind, frozen=True):
    """Fires once so many percent of the calls are slow in a live instance, by the snapshots that it sends."""

    kind = "slow_rate"
    said = "calls slow"

    def rate_of(self, sample: Sample) -> float | None:
        return sample.slow_rate
