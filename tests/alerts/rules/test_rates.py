"""The three kinds about rates: `failure_rate`, `slow_rate`, `not_permitted_rate`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.rates import RateKind
from alerts.rules.failure_rate import FailureRate
from alerts.rules.not_permitted_rate import NotPermittedRate
from alerts.rules.slow_rate import SlowRate
from alerts.verdicts import CheckAt, Firing, Quiet, Sample
from breakers.wire import RATES_COUNT_FOR_S
from tests.alerts.views import T0, instance, view

SECOND = timedelta(seconds=1)


def samples(*rates: float | None, every: int = 10) -> tuple[Sample, ...]:
    """One each `every` seconds from T0 on, of this failure rate."""
    return tuple(Sample(T0 + n * every * SECOND, rate) for n, rate in enumerate(rates))


def test_at_least_the_threshold_in_each_report_for_so_long() -> None:
    rule = FailureRate(threshold=50, for_=20)
    seen = view(instance(samples=samples(50, 70, 90)))

    assert rule.judge(seen, T0 + 19 * SECOND) == CheckAt(T0 + 20 * SECOND)
    assert isinstance(rule.judge(seen, T0 + 20 * SECOND), Firing)


@pytest.mark.parametrize("good", [49.9, None])
def test_one_report_below_it_starts_anew(good: float | None) -> None:
    rule = FailureRate(threshold=50, for_=20)
    seen = view(instance(samples=samples(90, good, 90, 90)))

    assert rule.judge(seen, T0 + 30 * SECOND) == CheckAt(T0 + 40 * SECOND)
    assert rule.judge(seen, T0 + 15 * SECOND) == Quiet()


def test_who_says_nothing_any_more_has_no_rate() -> None:
    rule = FailureRate(threshold=50)
    seen = view(instance(samples=samples(90)))

    verdict = rule.judge(seen, T0)
    assert isinstance(verdict, Firing)
    assert verdict.again == T0 + RATES_COUNT_FOR_S * SECOND
    assert rule.judge(seen, verdict.again) == Quiet()


def test_a_silence_within_the_time_starts_anew() -> None:
    rule = FailureRate(threshold=50, for_=300)
    seen = view(instance(samples=samples(90, 90, every=RATES_COUNT_FOR_S)))

    assert rule.judge(seen, T0 + RATES_COUNT_FOR_S * SECOND) == CheckAt(
        T0 + 2 * RATES_COUNT_FOR_S * SECOND
    )


@pytest.mark.parametrize(
    ("kind", "sample"),
    [
        (FailureRate, Sample(T0, failure_rate=60)),
        (SlowRate, Sample(T0, slow_rate=60)),
        (NotPermittedRate, Sample(T0, not_permitted_rate=60)),
    ],
)
def test_each_kind_looks_at_its_own_rate(kind: type[RateKind], sample: Sample) -> None:
    others = Sample(T0, 60, 60, 60)
    rule = kind(threshold=60)

    assert isinstance(rule.judge(view(instance(samples=(sample,))), T0), Firing)
    assert isinstance(rule.judge(view(instance(samples=(others,))), T0), Firing)
    assert rule.judge(view(instance(samples=(Sample(T0),))), T0) == Quiet()
