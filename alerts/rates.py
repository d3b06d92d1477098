"""What the three kinds about rates share. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from alerts.rules import Need, RuleKind
from alerts.spans import IN_PERCENT, IN_SECONDS, span
from alerts.verdicts import QUIET, CheckAt, Firing, InstanceView, Sample, Verdict
from breakers.wire import RATES_COUNT_FOR_S

_COUNTS_FOR = timedelta(seconds=RATES_COUNT_FOR_S)

Threshold = Annotated[
    float,
    Meta(ge=0, le=100, title="Threshold", description="Percent, at least.", extra=IN_PERCENT),
]
Lasting = Annotated[
    int,
    Meta(
        ge=0,
        le=3600,
        title="For",
        description="Seconds in which each report says so, at most an hour. 0: the first report is enough.",
        extra=IN_SECONDS,
    ),
]


class RateKind(RuleKind, frozen=True, rename={"for_": "for"}):
    """A rate of a live instance that is at least `threshold` in every report for `for` seconds."""

    needs = frozenset({Need.SAMPLES})
    previews = False
    said = ""
    """Before “at 50% or more”."""

    threshold: Threshold
    for_: Lasting = 0

    def rate_of(self, sample: Sample) -> float | None:
        """The rate that it is about, in percent; None: unknown."""
        raise NotImplementedError

    @property
    def reaches_back_s(self) -> int:
        return self.for_ + RATES_COUNT_FOR_S

    def is_moved_by(self, sample: Sample) -> bool:
        rate = self.rate_of(sample)
        return rate is not None and rate >= self.threshold

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        run = self._run([one for one in seen.samples if one.at <= now])
        if not run or now - run[-1].at >= _COUNTS_FOR:
            return QUIET
        silent = run[-1].at + _COUNTS_FOR
        due = run[0].at + timedelta(seconds=self.for_)
        if now < due:
            return CheckAt(min(due, silent))
        text = f"{self.said} at {self.threshold:g}% or more"
        return Firing(f"{text} for {span(self.for_)}" if self.for_ else text, again=silent)

    def _run(self, samples: Sequence[Sample]) -> list[Sample]:
        """The unbroken run at the end of the samples that are at the threshold, with no silence in it."""
        run: list[Sample] = []
        for sample in reversed(samples):
            if not self.is_moved_by(sample) or (run and run[-1].at - sample.at >= _COUNTS_FOR):
                break
            run.append(sample)
        return run[::-1]
